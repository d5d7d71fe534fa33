"""What to write in place of a provisioner that won't do: one that will, and where there is none, whom to ask for it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mistral_operator.api.model import MistralModelSpec
from mistral_operator.planning.compute_class import check_class_version
from mistral_operator.planning.terms import Terms
from mistral_operator.planning.types import ClusterProfile, Provisioner

FIELD: Final = "spec.capacity.provisioner"
GKE: Final = "GKE"
AUTOPILOT_KEEPS: Final = frozenset({Provisioner.CONTAINER_API, Provisioner.CONFIG_CONNECTOR})
"""What these do is Google's own matter on an Autopilot cluster."""
_ORDER: Final = (
    Provisioner.CONTAINER_API,
    Provisioner.COMPUTE_CLASS,
    Provisioner.CONFIG_CONNECTOR,
    Provisioner.EXISTING,
)
"""What is advised first, and what `Auto` comes to first where a class rules out the usual."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What decides about provisioners before any hardware is looked at."""

    cluster: ClusterProfile
    terms: Terms
    """Of the model's serving class."""
    labelled: bool = False
    """Whether the machines are to have labels of the user's."""

    def allows(self, provisioner: Provisioner) -> bool:
        """Whether the class does."""
        return not self.terms.provisioners or provisioner.value in self.terms.provisioners

    def suits(self, provisioner: Provisioner) -> bool:
        """Whether it would work, were it switched on and allowed."""
        if self.cluster.provider != GKE:
            return provisioner is Provisioner.EXISTING
        if provisioner is Provisioner.COMPUTE_CLASS:
            return not self.labelled and not check_class_version(self.cluster.version)
        return not (self.cluster.autopilot and provisioner in AUTOPILOT_KEEPS)

    def list_usable(self) -> list[Provisioner]:
        """What would not be refused, the first to be advised first."""
        enabled = self.cluster.provisioners
        return [each for each in _ORDER if self.suits(each) and each in enabled and self.allows(each)]


def read_circumstances(spec: MistralModelSpec, cluster: ClusterProfile, terms: Terms) -> Circumstances:
    """Those of a model."""
    return Circumstances(cluster, terms, labelled=bool(spec.resource_labels))


def advise_provisioner(
    case: Circumstances,
    wanted: Provisioner | None = None,
    fits: Callable[[Provisioner], bool] = lambda _: True,
) -> str:
    """What to write, as the end of a sentence; empty where no provisioner would do.

    With `wanted`, what it takes to get that one is told besides. `fits` says which could make what is asked for.
    """
    usable = [each for each in case.list_usable() if fits(each)]
    write = [f"write {FIELD}: {' or '.join(each.value for each in usable)}"] if usable else []
    suited = [each for each in _ORDER if case.suits(each) and fits(each)]
    sought = [wanted] if wanted in suited else [] if usable else suited[:1]
    return ", or ".join([*write, *(_tell_way(each, case, wanted) for each in sought if each not in usable)])


def _tell_way(provisioner: Provisioner, case: Circumstances, wanted: Provisioner | None) -> str:
    """Who has to do what before it can be written."""
    steps = []
    if not case.allows(provisioner):
        steps.append(f"ask those who keep {case.terms.source} to allow {provisioner.value} in limits.provisioners")
    if provisioner not in case.cluster.provisioners:
        steps.append(
            f"have the operator started with --provisioner {provisioner.value} (the chart's value `provisioners`)"
        )
    if provisioner is not wanted:
        steps.append(f"then write {FIELD}: {provisioner.value}")
    return ", ".join(steps)
