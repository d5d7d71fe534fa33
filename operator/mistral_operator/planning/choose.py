"""Every engine, machine and way to buy it → an option or a refusal with its reason; the options in the user's order."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from mistral_operator.api.pod import PodResources
from mistral_operator.catalogue.accelerator import Accelerator, MachineShape
from mistral_operator.catalogue.engine import Engine
from mistral_operator.catalogue.model import Model
from mistral_operator.catalogue.types import Catalogue
from mistral_operator.planning.estimate import estimate_startup, price_machine
from mistral_operator.planning.fit import Fit, Misfit, batch_for, fit, usual_context
from mistral_operator.planning.host import HostRequest, check_pod, plan_host
from mistral_operator.planning.memory import Layout
from mistral_operator.planning.resolve import Runtime
from mistral_operator.planning.support import Verdict, judge
from mistral_operator.planning.types import ClusterProfile, Consumption, PlannedOption, Refusal, Settings, Tier
from mistral_operator.planning.units import exact_dollars_text, tokens_text
from mistral_operator.planning.wishes import Wish

MOST_PCIE_DEVICES = 4
"""Beyond this, tensor parallelism over PCIe spends most of its time on communication: not chosen unasked."""
MOST_OPTIONS = 5
"""Rungs of a ladder; every wish of the user gets one at least."""
NOT_ALLOWED = "NotAllowed"


@dataclass(frozen=True, slots=True)
class Task:
    """Everything that is fixed before hardware is looked at."""

    model: Model
    runtimes: tuple[Runtime, ...]
    """One for each kind of hardware that may be looked at."""
    checkpoint_bytes: int
    allow_experimental: bool
    max_hourly_cost: Decimal | None
    pod_resources: PodResources
    catalogue: Catalogue
    cluster: ClusterProfile
    settings: Settings

    @property
    def region(self) -> str:
        """The cluster's region, or empty where its place is not known."""
        return "-".join(self.cluster.location.split("-")[:2])


@dataclass(frozen=True, slots=True)
class Candidate:
    """One machine or slice, bought in one way, for one wish, with the engine that would run there."""

    wish: Wish
    accelerator: Accelerator
    shape: MachineShape
    runtime: Runtime

    @property
    def name(self) -> str:
        """Stable and readable."""
        topology = f"-{self.shape.topology}" if self.shape.hosts > 1 else ""
        return f"{self.shape.machine_type}{topology}-{self.wish.consumption.value.lower()}"

    @property
    def layout(self) -> Layout:
        """Tensor parallel on each host, a pipeline stage a host."""
        return Layout(self.shape.devices, self.shape.hosts)

    @property
    def subject(self) -> str:
        """What a refusal is about."""
        machine = (
            self.shape.machine_type if self.shape.hosts == 1 else f"{self.shape.hosts} × {self.shape.machine_type}"
        )
        hardware = f"{self.shape.total_devices} × {self.accelerator.id} ({machine}, {self.wish.consumption.value})"
        return f"{hardware}, {self.runtime.demand.precision}"


def choose(task: Task, wishes: tuple[Wish, ...]) -> tuple[tuple[PlannedOption, ...], tuple[Refusal, ...]]:
    """Weigh all candidates; return the options best first, and why the others were refused, the most telling first."""
    rungs: list[PlannedOption] = []
    refusals: list[tuple[tuple[bool, int, Decimal, str], Refusal]] = []
    for wish in wishes:
        options: list[PlannedOption] = []
        for candidate in _candidates(task, wish):
            verdict = weigh(task, candidate)
            if isinstance(verdict, PlannedOption):
                options.append(verdict)
            else:
                refusals.append((_refusal_key(task, candidate, verdict), verdict))
        rungs += _drop_larger_hosts(sorted(options, key=_cost_key))[: max(1, MOST_OPTIONS // len(wishes))]
    refusals.sort(key=lambda item: item[0])
    return _drop_twins(rungs), _drop_repeats([refusal for _, refusal in refusals])


def _refusal_key(task: Task, candidate: Candidate, refusal: Refusal) -> tuple[bool, int, Decimal, str]:
    """What was never asked for comes last; the first engine's hardware before that of others, the cheapest first."""
    price = _list_price(candidate) or Decimal("Infinity")
    return (refusal.reason == NOT_ALLOWED, task.runtimes.index(candidate.runtime), price, candidate.name)


def weigh(task: Task, candidate: Candidate) -> PlannedOption | Refusal:
    """Decide about one candidate. The first reason against it is the one that is told."""
    engine, demand, shape = candidate.runtime.engine.engine, candidate.runtime.demand, candidate.shape
    misfit = _check_offer(task, candidate) or _check_hosts(task, engine, shape)
    if misfit:
        return _refuse(candidate, misfit)
    batch = batch_for(engine, candidate.accelerator, demand.concurrency)
    fitted = fit(task.model, engine, candidate.accelerator, candidate.layout, demand, batch)
    if isinstance(fitted, Misfit):
        return _refuse(candidate, fitted)
    host = plan_host(engine, shape, task.checkpoint_bytes)
    if isinstance(host, Misfit):
        return _refuse(candidate, host)
    verdict = judge(task.catalogue, task.model, engine, candidate.accelerator, shape.total_devices, demand.precision)
    misfit = check_pod(task.pod_resources, shape, host) or _check_tier(task, verdict) or _check_cost(task, candidate)
    if misfit:
        return _refuse(candidate, misfit)
    return _build_option(task, candidate, fitted, host, verdict)


def _candidates(task: Task, wish: Wish) -> Iterator[Candidate]:
    for accelerator in task.catalogue.accelerators.values():
        for runtime in task.runtimes:
            if accelerator.kind == runtime.engine.engine.kind:
                yield from (Candidate(wish, accelerator, shape, runtime) for shape in accelerator.machines)


def _check_hosts(task: Task, engine: Engine, shape: MachineShape) -> Misfit | None:
    """Check that engine and cluster can run one replica on several machines."""
    if shape.hosts == 1:
        return None
    if not engine.multi_host:
        return Misfit(
            "SingleHostEngine", f"{engine.name} runs a replica on one machine, and this slice has {shape.hosts}"
        )
    if not task.cluster.leader_worker_set:
        return Misfit(
            "NeedsLeaderWorkerSet",
            f"a slice of {shape.hosts} machines needs the LeaderWorkerSet controller, which the cluster doesn't serve;"
            " install it (lws.sigs.k8s.io), or choose a machine that holds the model by itself",
        )
    return None


def _check_offer(task: Task, candidate: Candidate) -> Misfit | None:
    """Check wish, region, zones, way of buying and interconnect."""
    wish, accelerator, shape = candidate.wish, candidate.accelerator, candidate.shape
    mismatch = wish.mismatch(accelerator, shape)
    if mismatch:
        return Misfit(NOT_ALLOWED, f"spec.capacity.options asks for other hardware: {mismatch}")
    if task.region and task.region not in shape.regions:
        return Misfit(
            "NotInRegion",
            f"{shape.machine_type} is not offered in {task.region}; it is in {', '.join(shape.regions[:4])}"
            f"{' and others' if len(shape.regions) > 4 else ''}",
        )
    if task.cluster.zones and not _zones(task, candidate):
        near = [zone for zone in accelerator.zones if zone.startswith(f"{task.region}-")]
        return Misfit(
            "NotInZone",
            f"no zone of the cluster ({', '.join(task.cluster.zones)}) lists {accelerator.name}; in {task.region} it is"
            f" in {', '.join(near)}",
        )
    if wish.consumption.value not in shape.consumption:
        return Misfit(
            "NotOffered",
            f"{shape.machine_type} is not sold as {wish.consumption.value}, only as {', '.join(shape.consumption)}",
        )
    if accelerator.interconnect == "pcie" and shape.devices > MOST_PCIE_DEVICES and not wish.pins_layout:
        return Misfit(
            "InterconnectTooSlow",
            f"tensor parallelism over {shape.devices} devices would run over PCIe; more than"
            f" {MOST_PCIE_DEVICES} are not chosen unasked: write machineType: {shape.machine_type} in"
            " spec.capacity.options",
        )
    return None


def _check_tier(task: Task, verdict: Verdict) -> Misfit | None:
    if verdict.tier is Tier.REFUSED:
        return Misfit("KnownNotToWork", verdict.evidence)
    if verdict.tier is Tier.EXPERIMENTAL and not task.allow_experimental:
        return Misfit("ExperimentalNotAllowed", f"{verdict.evidence}; write spec.allowExperimental: true to try it")
    return None


def _check_cost(task: Task, candidate: Candidate) -> Misfit | None:
    limit = task.max_hourly_cost
    if limit is None:
        return None
    price, note = _price(task, candidate)
    field = "spec.capacity.maxHourlyCost"
    if price is None:
        return Misfit("PriceUnknown", f"{note}, so {field} can't be kept; set a price in the operator's settings")
    if price > limit:
        return Misfit(
            "ExceedsHourlyCost",
            f"one replica costs {exact_dollars_text(price)}, more than {field}: {exact_dollars_text(limit)}",
        )
    return None


def _price(task: Task, candidate: Candidate) -> tuple[Decimal | None, str]:
    """What one replica costs, all its machines together."""
    shape = candidate.shape
    price, note = price_machine(candidate.accelerator, shape, candidate.wish.consumption, task.region, task.settings)
    return (None if price is None else price * shape.hosts), note


def _list_price(candidate: Candidate) -> Decimal | None:
    price = candidate.shape.prices.get(candidate.wish.consumption.value)
    return None if price is None else price * candidate.shape.hosts


def _zones(task: Task, candidate: Candidate) -> tuple[str, ...]:
    """Where nodes may be made: what the user wrote, else the cluster's zones that list the accelerator."""
    listed = candidate.accelerator.zones
    here = tuple(zone for zone in task.cluster.zones if zone in listed) if listed else task.cluster.zones
    return candidate.wish.zones or here


def _refuse(candidate: Candidate, misfit: Misfit) -> Refusal:
    return Refusal(candidate.subject, misfit.reason, misfit.message)


def _build_option(task: Task, candidate: Candidate, fitted: Fit, host: HostRequest, verdict: Verdict) -> PlannedOption:
    accelerator, shape, layout = candidate.accelerator, candidate.shape, candidate.layout
    engine, demand = candidate.runtime.engine.engine, candidate.runtime.demand
    hourly_cost, price_note = _price(task, candidate)
    return PlannedOption(
        name=candidate.name,
        accelerator=accelerator.id,
        accelerator_label=accelerator.label,
        resource_name=accelerator.resource,
        machine_type=shape.machine_type,
        devices=shape.total_devices,
        consumption=candidate.wish.consumption,
        zones=_zones(task, candidate),
        engine=engine.id,
        engine_version=engine.version,
        image=candidate.runtime.engine.image,
        precision=demand.precision,
        kv_cache_precision=demand.kv_cache_precision,
        tensor_parallel=layout.tensor_parallel,
        pipeline_parallel=layout.pipeline_parallel,
        context_length=fitted.context_length,
        max_context_length=fitted.max_context_length,
        max_concurrency=fitted.max_concurrency,
        kv_cache_tokens=fitted.kv_cache_tokens,
        max_batched_tokens=fitted.max_batched_tokens,
        gpu_memory_utilization=str(engine.utilization),
        memory=fitted.memory,
        host_cpu=str(host.cpu),
        host_memory=f"{host.memory_gib}Gi",
        shm_bytes=host.shared_memory_bytes,
        startup=estimate_startup(engine, accelerator, task.checkpoint_bytes, fitted.memory.weights_bytes),
        hourly_cost=hourly_cost,
        price_note=price_note,
        tier=verdict.tier,
        evidence=verdict.evidence,
        notes=tuple(_notes(task, candidate, fitted)),
        topology=shape.topology,
        hosts=shape.hosts,
        max_prompt_tokens=engine.slots.prompt_tokens(fitted.context_length) if engine.slots else 0,
    )


def _notes(task: Task, candidate: Candidate, fitted: Fit) -> Iterator[str]:
    engine, demand = candidate.runtime.engine.engine, candidate.runtime.demand
    usual = usual_context(task.model, engine)
    if demand.context_length is None and fitted.context_length < usual:
        yield (
            f"context lowered from the recommended {tokens_text(usual)} to {tokens_text(fitted.context_length)},"
            f" so that {engine.memory.full_sequences} full sequences fit; spec.engine.contextLength fixes it"
        )
    if candidate.shape.hosts > 1:
        yield (
            f"a replica is a slice of {candidate.shape.hosts} machines, which come and go together: a lost one starts"
            " the whole replica anew, and the LeaderWorkerSet controller has to be in the cluster"
        )
    if engine.slots:
        prompt = engine.slots.prompt_tokens(fitted.context_length)
        yield (
            f"of the {tokens_text(fitted.context_length)} of context a prompt may take {prompt:,}; the server samples"
            " greedily, whatever a request asks for"
        )
    if demand.precision == "fp8" and candidate.accelerator.fp8 == "weight-only":
        yield f"{candidate.accelerator.name} stores FP8 weights and computes in 16 bit: memory is saved, time is not"
    if candidate.wish.consumption is Consumption.SPOT:
        yield "spot capacity can be taken back by Google at any time, with about 15 seconds for running requests"


def _cost_key(option: PlannedOption) -> tuple[Decimal, int, str]:
    cost = option.hourly_cost if option.hourly_cost is not None else Decimal("Infinity")
    return (cost, option.hosts, option.name)


def _drop_larger_hosts(options: list[PlannedOption]) -> list[PlannedOption]:
    """Keep the first, so the cheapest, of the machines that differ in nothing but their host."""
    kept: dict[tuple[str, int], PlannedOption] = {}
    for option in options:
        kept.setdefault((option.accelerator, option.devices), option)
    return list(kept.values())


def _drop_twins(rungs: list[PlannedOption]) -> tuple[PlannedOption, ...]:
    """Keep the first of equal rungs: two wishes may allow the same machine."""
    kept: dict[tuple[str, tuple[str, ...]], PlannedOption] = {}
    for option in rungs:
        kept.setdefault((option.name, option.zones), option)
    return tuple(kept.values())


def _drop_repeats(refusals: list[Refusal]) -> tuple[Refusal, ...]:
    """Keep the cheapest machine of those that are refused in the same words."""
    kept: dict[tuple[str, str], Refusal] = {}
    for refusal in refusals:
        kept.setdefault((refusal.reason, refusal.message), refusal)
    return tuple(kept.values())
