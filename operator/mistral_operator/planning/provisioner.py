"""What makes the node pools of a model: as asked for, or found from what the cluster is and what its class allows."""

from collections.abc import Iterator
from dataclasses import replace

from mistral_operator.api import capacity as api
from mistral_operator.api.model import MistralModelSpec
from mistral_operator.planning.compute_class import check_class_version
from mistral_operator.planning.provisioner_advice import (
    AUTOPILOT_KEEPS,
    FIELD,
    GKE,
    Circumstances,
    advise_provisioner,
    read_circumstances,
)
from mistral_operator.planning.terms import Terms
from mistral_operator.planning.types import ClusterProfile, PlanRefused, Provisioner


def resolve_provisioner(spec: MistralModelSpec, cluster: ClusterProfile, terms: Terms) -> Provisioner | PlanRefused:
    """The provisioner that is asked for, or with `Auto` the one that the cluster calls for.

    Where the class doesn't allow that one, `Auto` comes to the first that it does allow and that can be used. Else
    Config Connector is never chosen unasked: whoever keeps their cloud as objects says so.
    """
    case = read_circumstances(spec, cluster, terms)
    asked = _read_asked(spec)
    provisioner = asked or _choose(case)
    refused = _check_class(provisioner, case) or _check_cluster(provisioner, case)
    if refused and not asked and provisioner is not _find_usual(cluster):
        return replace(refused, message=f"{refused.message}. {_tell_auto(terms, provisioner)}")
    return refused or provisioner


def _read_asked(spec: MistralModelSpec) -> Provisioner | None:
    """None for `Auto`, and where nothing is said."""
    named = spec.capacity.provisioner if spec.capacity else None
    return None if named in (None, api.Provisioner.AUTO) else Provisioner(named.value)


def _choose(case: Circumstances) -> Provisioner:
    usual = _find_usual(case.cluster)
    if case.allows(usual):
        return usual
    # Where none of them can be used, the refusal of the first that is allowed says why.
    return next(iter(case.list_usable()), Provisioner(case.terms.provisioners[0]))


def _find_usual(cluster: ClusterProfile) -> Provisioner:
    if cluster.provider != GKE:
        return Provisioner.EXISTING
    return Provisioner.COMPUTE_CLASS if cluster.autopilot else Provisioner.CONTAINER_API


def note_provisioner(
    spec: MistralModelSpec, cluster: ClusterProfile, terms: Terms, provisioner: Provisioner
) -> Iterator[str]:
    """What `Auto` came to, where that isn't the usual."""
    if _read_asked(spec):
        return
    if provisioner is not _find_usual(cluster):
        yield _tell_auto(terms, provisioner)
    elif cluster.provider != GKE:
        yield f"the cluster isn't GKE's, so no node pools are made: {provisioner.value} uses the nodes that are there"
    elif cluster.autopilot:
        yield f"on an Autopilot cluster only Google makes node pools: {provisioner.value} says which"


def _tell_auto(terms: Terms, provisioner: Provisioner) -> str:
    return f"{terms.source} allows {', '.join(terms.provisioners)}, so Auto comes to {provisioner.value}"


def _check_class(provisioner: Provisioner, case: Circumstances) -> PlanRefused | None:
    if case.allows(provisioner):
        return None
    return PlanRefused(
        "ProvisionerNotAllowed",
        f"{FIELD}: {provisioner.value} is not allowed: {case.terms.source} allows"
        f" {', '.join(case.terms.provisioners)}; {advise_provisioner(case, provisioner)}",
    )


def _check_cluster(provisioner: Provisioner, case: Circumstances) -> PlanRefused | None:
    cluster, advice = case.cluster, advise_provisioner(case, provisioner)
    if cluster.provider != GKE and provisioner is not Provisioner.EXISTING:
        return PlanRefused(
            "NotOnGke",
            f"{FIELD}: {provisioner.value} makes node pools of GKE, and the cluster is none, so only nodes that are"
            f" there can be used; {advice}",
        )
    if cluster.autopilot and provisioner in AUTOPILOT_KEEPS:
        return PlanRefused(
            "AutopilotOwnsNodePools",
            f"{FIELD}: {provisioner.value} makes node pools, and on an Autopilot cluster only Google does; {advice}",
        )
    if provisioner not in cluster.provisioners:
        return PlanRefused("ProvisionerNotEnabled", f"{FIELD}: {provisioner.value} is not switched on; {advice}")
    return _check_compute_class(case, advice) if provisioner is Provisioner.COMPUTE_CLASS else None


def _check_compute_class(case: Circumstances, advice: str) -> PlanRefused | None:
    too_old = check_class_version(case.cluster.version)
    if too_old:
        return PlanRefused("ClusterTooOld", f"{FIELD}: {too_old}; upgrade it, or {advice}")
    if case.labelled:
        return PlanRefused(
            "ResourceLabelsNeedNodePools",
            "spec.resourceLabels: a ComputeClass can't give labels to the machines that GKE makes for it; remove them"
            f" (those of a serving class too), or {advice}",
        )
    return None
