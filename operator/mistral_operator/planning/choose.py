"""Every engine, machine and way to buy it → an option or a refusal with its reason; the options in the user's order."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from mistral_operator.api.pod import PodResources
from mistral_operator.catalogue.types import Accelerator, Catalogue, MachineShape, Model
from mistral_operator.planning.estimate import estimate_startup, price_machine
from mistral_operator.planning.fit import Demand, Fit, Misfit, batch_for, fit
from mistral_operator.planning.host import HostRequest, check_pod, plan_host
from mistral_operator.planning.resolve import ResolvedEngine
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
    engine: ResolvedEngine
    demand: Demand
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
    """One machine, bought in one way, for one wish."""

    wish: Wish
    accelerator: Accelerator
    shape: MachineShape

    @property
    def name(self) -> str:
        """Stable and readable."""
        return f"{self.shape.machine_type}-{self.wish.consumption.value.lower()}"

    def subject(self, precision: str) -> str:
        """What a refusal is about."""
        machine = f"{self.shape.machine_type}, {self.wish.consumption.value}"
        return f"{self.shape.devices} × {self.accelerator.id} ({machine}), {precision}"


def choose(task: Task, wishes: tuple[Wish, ...]) -> tuple[tuple[PlannedOption, ...], tuple[Refusal, ...]]:
    """Weigh all candidates; return the options best first, and why the others were refused, the most telling first."""
    rungs: list[PlannedOption] = []
    refusals: list[tuple[tuple[bool, Decimal, str], Refusal]] = []
    for wish in wishes:
        options: list[PlannedOption] = []
        for candidate in _candidates(task.catalogue, wish, task.engine.engine.kind):
            verdict = weigh(task, candidate)
            if isinstance(verdict, PlannedOption):
                options.append(verdict)
            else:
                price = candidate.shape.prices.get(wish.consumption.value, Decimal("Infinity"))
                refusals.append(((verdict.reason == NOT_ALLOWED, price, candidate.name), verdict))
        rungs += _drop_larger_hosts(sorted(options, key=_cost_key))[: max(1, MOST_OPTIONS // len(wishes))]
    refusals.sort(key=lambda item: item[0])
    return _drop_twins(rungs), _drop_repeats([refusal for _, refusal in refusals])


def weigh(task: Task, candidate: Candidate) -> PlannedOption | Refusal:
    """Decide about one candidate. The first reason against it is the one that is told."""
    engine = task.engine.engine
    misfit = _check_offer(task, candidate)
    if misfit:
        return _refuse(task, candidate, misfit)
    batch = batch_for(engine, candidate.accelerator, task.demand.concurrency)
    fitted = fit(task.model, engine, candidate.accelerator, candidate.shape.devices, task.demand, batch)
    if isinstance(fitted, Misfit):
        return _refuse(task, candidate, fitted)
    host = plan_host(engine, candidate.shape, task.checkpoint_bytes)
    if isinstance(host, Misfit):
        return _refuse(task, candidate, host)
    verdict = judge(
        task.catalogue, task.model, engine, candidate.accelerator, candidate.shape.devices, task.demand.precision
    )
    misfit = (
        check_pod(task.pod_resources, candidate.shape, host)
        or _check_tier(task, verdict)
        or _check_cost(task, candidate)
    )
    if misfit:
        return _refuse(task, candidate, misfit)
    return _build_option(task, candidate, fitted, host, verdict)


def _candidates(catalogue: Catalogue, wish: Wish, kind: str) -> Iterator[Candidate]:
    for accelerator in catalogue.accelerators.values():
        if accelerator.kind == kind:
            for shape in accelerator.machines:
                yield Candidate(wish, accelerator, shape)


def _check_offer(task: Task, candidate: Candidate) -> Misfit | None:
    """Check wish, region, way of buying and interconnect."""
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
    return price_machine(candidate.accelerator, candidate.shape, candidate.wish.consumption, task.region, task.settings)


def _refuse(task: Task, candidate: Candidate, misfit: Misfit) -> Refusal:
    return Refusal(candidate.subject(task.demand.precision), misfit.reason, misfit.message)


def _build_option(task: Task, candidate: Candidate, fitted: Fit, host: HostRequest, verdict: Verdict) -> PlannedOption:
    accelerator, shape = candidate.accelerator, candidate.shape
    engine = task.engine.engine
    hourly_cost, price_note = _price(task, candidate)
    return PlannedOption(
        name=candidate.name,
        accelerator=accelerator.id,
        accelerator_label=accelerator.label,
        resource_name=accelerator.resource,
        machine_type=shape.machine_type,
        devices=shape.devices,
        consumption=candidate.wish.consumption,
        zones=candidate.wish.zones or task.cluster.zones,
        engine=engine.id,
        engine_version=engine.version,
        image=task.engine.image,
        precision=task.demand.precision,
        kv_cache_precision=task.demand.kv_cache_precision,
        tensor_parallel=shape.devices,
        pipeline_parallel=1,
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
    )


def _notes(task: Task, candidate: Candidate, fitted: Fit) -> Iterator[str]:
    recommended = task.model.recommended_context
    if task.demand.context_length is None and fitted.context_length < recommended:
        yield (
            f"context lowered from the recommended {tokens_text(recommended)} to {tokens_text(fitted.context_length)},"
            f" so that {task.engine.engine.memory.full_sequences} full sequences fit;"
            " spec.engine.contextLength fixes it"
        )
    if task.demand.precision == "fp8" and candidate.accelerator.fp8 == "weight-only":
        yield f"{candidate.accelerator.name} stores FP8 weights and computes in 16 bit: memory is saved, time is not"
    if candidate.wish.consumption is Consumption.SPOT:
        yield "spot capacity can be taken back by Google at any time, with about 15 seconds for running requests"


def _cost_key(option: PlannedOption) -> tuple[Decimal, str]:
    return (option.hourly_cost if option.hourly_cost is not None else Decimal("Infinity"), option.name)


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
