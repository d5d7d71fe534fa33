"""Everything that the checks may look at, gathered once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from mistral_operator.api.model import MistralModel
from mistral_operator.capacity.arbitration import Place
from mistral_operator.capacity.ladder import Rung
from mistral_operator.planning.types import ClusterProfile, Plan
from mistral_operator.status.conversion import ConversionView
from mistral_operator.status.ends import NO_ENDS, Succession
from mistral_operator.status.findings import Finding
from mistral_operator.status.pods import PodView

_Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ClassView:
    """What the model's serving class says of what runs."""

    name: str = ""
    """The class that applies; empty where there is none."""
    breach: str = ""
    """What it doesn't allow of the pinned plan, which was made under other terms; empty when it allows all."""
    spend_limit: str = "spec.capacity.maxHourlyCost"
    """The field that says what the model may cost."""


@dataclass(frozen=True, slots=True)
class Situation:
    """One model, as it is now."""

    model: MistralModel
    cluster: ClusterProfile
    accepted: Finding
    plan: Plan | None
    """The pinned plan that is served or being rolled out; None when there never was one."""
    revision: str
    """The pinned plan's hash; empty when there is none."""
    planner_version: str
    prices: Mapping[str, Decimal | None]
    """Revision's hash → US dollars an hour of one of its pods, unless it is on slices; None where no price is known."""
    slice_prices: tuple[Decimal | None, ...]
    """The same for each slice that stands, whichever revision it is for."""
    idle_prices: tuple[Decimal | None, ...]
    """The model's part of what the idle nodes cost, for each of its claims that has any."""
    wanted_replicas: int
    """What the workload is asked for: `spec.replicas`, less what is suspended or over a spend limit."""
    pods: tuple[PodView, ...]
    """One for each replica: those that answer requests."""
    workers: tuple[PodView, ...]
    """The pods on the other hosts of multi-host slices."""
    pod_events: tuple[_Object, ...]
    claims: tuple[_Object | None, ...]
    """Those that the pinned plan needs; None for one that isn't there yet."""
    service: _Object | None
    """The model's own live Service: a stranger's of that name sends requests somewhere else."""
    workload: _Object | None
    """The live Deployment or LeaderWorkerSet."""
    conversion: ConversionView | None
    """The Job that has to be done before anything is served; None where there is none."""
    autoscaler: _Object | None
    """The live HorizontalPodAutoscaler; None when there is none, or none yet."""
    wants_autoscaler: bool
    place: Place | None = None
    """Where it stands in line for what isn't enough for all; None when it has what it wants."""
    stays: bool = False
    """Whether an earlier plan goes on, because no replica of this one is paid for yet."""
    rungs: tuple[Rung, ...] = ()
    """The ladder of the pinned plan, as it was judged now."""
    serving_rungs: frozenset[str] = frozenset()
    """The names of those on which a replica answers."""
    rung_replicas: Mapping[str, int] = field(default_factory=dict)
    """Rung's name → replicas that stand on it."""
    returns: bool = True
    """Whether the first could be built beside what serves."""
    serving_class: ClassView = ClassView()
    succession: Succession = NO_ENDS
    """What is done about replicas whose nodes are going to end."""

    @property
    def all_pods(self) -> tuple[PodView, ...]:
        """Every pod of every replica."""
        return (*self.pods, *self.workers)

    @property
    def converting(self) -> bool:
        """True as long as there is no checkpoint that a replica could load."""
        return self.conversion is not None and not self.conversion.done

    @property
    def nothing_to_load(self) -> bool:
        """True as long as no replica of the pinned plan can start, so that those of an earlier one have to stay.

        Replicas that have loaded the checkpoint need its Job no more, also when somebody deletes the Job.
        """
        return self.converting and not self.current_pods

    @property
    def converter(self) -> PodView | None:
        """The pod of the conversion that replicas wait for."""
        return self.conversion.pod if self.conversion is not None and self.nothing_to_load else None

    @property
    def needed_pods(self) -> tuple[PodView, ...]:
        """Pods without which what is wanted doesn't come about: every standing host, and what converts."""
        return (*((self.converter,) if self.converter else ()), *self.standing_hosts)

    @property
    def current_replicas_answer(self) -> bool:
        """True when the pinned plan serves as many replicas as are wanted."""
        return sum(1 for pod in self.current_pods if pod.ready) >= self.wanted_replicas

    @property
    def standing_pods(self) -> tuple[PodView, ...]:
        """Replicas' pods that are not on their way out."""
        return tuple(pod for pod in self.pods if not pod.terminating)

    @property
    def standing_hosts(self) -> tuple[PodView, ...]:
        """Pods that are not on their way out, of every host."""
        return tuple(pod for pod in self.all_pods if not pod.terminating)

    @property
    def hosts_per_replica(self) -> int:
        """Pods of one replica."""
        return self.plan.chosen.hosts if self.plan else 1

    @property
    def ready_pods(self) -> tuple[PodView, ...]:
        """Pods that answer requests now, of any revision."""
        return tuple(pod for pod in self.pods if pod.ready)

    @property
    def current_pods(self) -> tuple[PodView, ...]:
        """Standing pods of the pinned plan."""
        return tuple(pod for pod in self.standing_pods if pod.revision == self.revision)

    @property
    def leaving_pods(self) -> tuple[PodView, ...]:
        """Pods of every host of earlier plans that are not on their way out yet."""
        return tuple(pod for pod in self.standing_hosts if pod.revision != self.revision)

    @property
    def leaves_nodes(self) -> bool:
        """Whether a leaving pod is on a node: nobody misses one that only waits for it."""
        return any(pod.scheduled for pod in self.leaving_pods)

    @property
    def cut_off(self) -> bool:
        """True when replicas answer, and no Service of the model leads to them."""
        return bool(self.ready_pods) and self.service is None

    @property
    def rolled_out(self) -> bool:
        """True when just the wanted replicas of the pinned plan stand, and all of them are ready."""
        current = [pod for pod in self.current_pods if pod.ready]
        just_these = len(current) == self.wanted_replicas == len(self.standing_pods)
        return just_these and not self.converting and not self.succession.extra_replicas
