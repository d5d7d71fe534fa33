"""What is weighed: one machine or slice, bought in one way, with the engine and checkpoint that would run there."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction

from mistral_operator.api.model import OptimizeFor
from mistral_operator.api.pod import PodResources, Toleration
from mistral_operator.catalogue.accelerator import Accelerator, MachineShape
from mistral_operator.catalogue.model import Model
from mistral_operator.catalogue.types import Catalogue
from mistral_operator.planning.estimate import price_machine
from mistral_operator.planning.formats import check_formats
from mistral_operator.planning.hardware import divide_accelerator
from mistral_operator.planning.nodes import UNNAMED, ZONE_LABEL, NodeGroup
from mistral_operator.planning.provisioner_advice import Circumstances
from mistral_operator.planning.runtimes import Runtime
from mistral_operator.planning.sharing import Division, divide_machine, share_accelerator
from mistral_operator.planning.speed import USUAL, Workload
from mistral_operator.planning.terms import NO_TERMS, Terms
from mistral_operator.planning.types import ClusterProfile, Provisioner, Settings
from mistral_operator.planning.wishes import Wish


@dataclass(frozen=True, slots=True)
class Task:
    """Everything that is fixed before hardware is looked at."""

    model: Model
    runtimes: tuple[Runtime, ...]
    """For each kind of hardware that may be looked at, one or more; of one engine the preferred checkpoint first."""
    allow_experimental: bool
    max_hourly_cost: Decimal | None
    pod_resources: PodResources
    catalogue: Catalogue
    cluster: ClusterProfile
    settings: Settings
    optimize_for: OptimizeFor = OptimizeFor.COST
    workload: Workload = USUAL
    """What the estimates of speed are stated for."""
    terms: Terms = NO_TERMS
    """Of the model's serving class."""
    provisioner: Provisioner = Provisioner.CONTAINER_API
    nodes: tuple[NodeGroup, ...] | None = None
    """Nodes that are there and that the model selects; None where nothing is known of them."""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    """By which labels the user selects them, beside those of the pods."""
    tolerations: tuple[Toleration, ...] = ()
    """Of the model's pods, beside the one for their devices."""
    labelled: bool = False
    """Whether the machines are to have labels of the user's."""

    @property
    def circumstances(self) -> Circumstances:
        """What decides about provisioners."""
        return Circumstances(self.cluster, self.terms, labelled=self.labelled)

    @property
    def region(self) -> str:
        """The cluster's region, or empty where its place is not known."""
        return "-".join(self.cluster.location.split("-")[:2])


@dataclass(frozen=True, slots=True)
class Candidate:
    """One machine or slice, bought in one way, for one wish, with the engine that would run there."""

    wish: Wish
    accelerator: Accelerator
    """As the machine has it: a part of one where machines share it."""
    shape: MachineShape
    """What a replica has of the machine's devices: one, where it has a part of one."""
    runtime: Runtime
    division: Division | None = None
    """How the machine's GPUs are shared; None where a replica has them to itself."""
    group: NodeGroup | None = None
    """Nodes that are there and have this; None for machines that are made."""
    part: Fraction = Fraction(1)
    """Of a node that is there."""

    @property
    def name(self) -> str:
        """Stable and readable."""
        if self.group is not None:
            return f"{self.shape.machine_type}-x{self.shape.devices}-existing".lower()
        topology = f"-{self.shape.topology}" if self.shape.hosts > 1 else ""
        part = f"-{self.division.partition or f'shared{self.division.clients}'}" if self.division else ""
        return f"{self.shape.machine_type}{topology}{part}-{self.wish.consumption.value.lower()}"

    @property
    def clients(self) -> int:
        """Replicas that take turns on one GPU."""
        return self.division.clients if self.division else 1

    @property
    def replicas_per_node(self) -> int:
        """Replicas that one machine holds."""
        return self.division.replicas if self.division else 1

    @property
    def subject(self) -> str:
        """What a refusal is about."""
        machine = (
            self.shape.machine_type if self.shape.hosts == 1 else f"{self.shape.hosts} × {self.shape.machine_type}"
        )
        if self.group is not None:
            machine = "a node" if self.shape.machine_type == UNNAMED else f"node {self.shape.machine_type}"
        count = self.shape.total_devices if self.shape.share == 1 else self.shape.share
        devices = f"{self.division.part} of" if self.division else f"{count} ×"
        hardware = f"{devices} {self.accelerator.id} ({machine}, {self.wish.consumption.value})"
        return f"{hardware}, {self.runtime.demand.precision}"


def list_candidates(task: Task, wish: Wish) -> Iterator[Candidate]:
    """Every machine of every accelerator with each engine of its kind."""
    for accelerator in task.catalogue.accelerators.values():
        for runtime in runtimes_for(task, accelerator):
            for shape in accelerator.machines:
                yield _make_candidate(wish, accelerator, shape, runtime)


def _make_candidate(wish: Wish, accelerator: Accelerator, shape: MachineShape, runtime: Runtime) -> Candidate:
    division = divide_machine(accelerator, shape, wish.sharing)
    if division is None:
        return Candidate(wish, divide_accelerator(accelerator, shape), shape, runtime)
    return Candidate(wish, share_accelerator(accelerator, division), replace(shape, devices=1), runtime, division)


def runtimes_for(task: Task, accelerator: Accelerator) -> Iterator[Runtime]:
    """For each engine of the accelerator's kind, the first checkpoint whose numbers it can hold, else the first."""
    usable: dict[str, Runtime] = {}
    for runtime in task.runtimes:
        engine = runtime.engine.engine
        if engine.kind != accelerator.kind:
            continue
        chosen = usable.setdefault(engine.id, runtime)
        if chosen is not runtime and check_formats(engine, accelerator, chosen.demand):
            usable[engine.id] = chosen if check_formats(engine, accelerator, runtime.demand) else runtime
    yield from usable.values()


def price_candidate(task: Task, candidate: Candidate) -> tuple[Decimal | None, str]:
    """What one replica costs an hour, all its machines together, and where the price comes from.

    On a machine that it shares, it costs what the machine does as long as nobody else is there.
    """
    shape = candidate.shape
    price, note = price_machine(candidate.accelerator, shape, candidate.wish.consumption, task.region, task.settings)
    part = candidate.part
    if part != 1 and price is not None:
        note = f"{part} of a node; {note}"
    return (None if price is None else price * shape.hosts * part.numerator / part.denominator), note


def zones_of(task: Task, candidate: Candidate) -> tuple[str, ...]:
    """Where nodes may be made: of the zones that would do those that the model's serving class allows."""
    return task.terms.keep_zones(usable_zones(task, candidate))


def usable_zones(task: Task, candidate: Candidate) -> tuple[str, ...]:
    """Which zones would do: what the user wrote, else the cluster's zones that list the accelerator."""
    if task.provisioner is Provisioner.EXISTING:
        zone = candidate.group.label(ZONE_LABEL) if candidate.group else ""
        # A class that limits zones must be kept; else pods may run wherever such nodes are.
        return candidate.wish.zones or ((zone,) if zone and task.terms.zones else ())
    listed = candidate.accelerator.zones
    here = tuple(zone for zone in task.cluster.zones if zone in listed) if listed else task.cluster.zones
    return candidate.wish.zones or here
