"""The plan as the status tells it: what was chosen with its arithmetic, and the refusals that say most."""

from decimal import Decimal
from typing import Final

from mistral_operator.api.status import ChosenOption, MemoryPlan, PlanRefusal, PlanStatus, SpeedPlan
from mistral_operator.planning.types import MemoryBudget, Plan, PlannedOption, Refusal, ThroughputEstimate

MOST_REFUSALS: Final = 5
LONGEST_WORD: Final = 256
LONGEST_TEXT: Final = 1024
LONGEST_IMAGE: Final = 512
MOST_ZONES: Final = 8


def describe_plan(plan: Plan, revision: str, planner_version: str) -> PlanStatus:
    """Describe `plan`, pinned in the ControllerRevision called `revision`."""
    return PlanStatus(
        revision=revision,
        planner_version=word(planner_version),
        model=word(plan.model_id),
        repository=word(plan.repository),
        repository_revision=word(plan.revision) or None,
        license=word(plan.license_id),
        chosen=_describe_option(plan.chosen),
        refusals=tuple(_describe_refusal(refusal) for refusal in plan.refusals[:MOST_REFUSALS]),
    )


def word(text: str) -> str:
    """As much of it as the status holds: a revision may have been written by anybody."""
    return text[:LONGEST_WORD]


def describe_money(amount: Decimal | None) -> str:
    """US dollars with at least two and at most four places, or `unknown`."""
    return "unknown" if amount is None else f"{amount:.4f}".removesuffix("00")


def _describe_refusal(refusal: Refusal) -> PlanRefusal:
    return PlanRefusal(
        subject=word(refusal.subject), reason=word(refusal.reason), message=refusal.message[:LONGEST_TEXT]
    )


def _describe_option(option: PlannedOption) -> ChosenOption:
    return ChosenOption(
        name=word(option.name),
        accelerator=word(option.accelerator),
        machine_type=word(option.machine_type),
        devices=option.devices,
        part=word(option.hardware) if option.shared_gpus else None,
        replicas_per_node=option.replicas_per_node if option.shared_gpus else None,
        consumption=option.consumption.value,
        reservation=word(option.reservation) or None,
        zones=tuple(map(word, option.zones[:MOST_ZONES])),
        engine=word(f"{option.engine} {option.engine_version}"),
        image=option.image[:LONGEST_IMAGE],
        precision=word(option.precision),
        kv_cache_precision=word(option.kv_cache_precision),
        tensor_parallel=option.tensor_parallel,
        pipeline_parallel=option.pipeline_parallel,
        data_parallel=option.data_parallel if option.data_parallel > 1 else None,
        expert_parallel=option.expert_parallel or None,
        context_length=option.context_length,
        max_context_length=option.max_context_length,
        max_concurrency=option.max_concurrency,
        kv_cache_tokens=option.kv_cache_tokens,
        memory_per_device=_describe_memory(option.memory),
        estimated_speed=_describe_speed(option.throughput) if option.throughput else None,
        startup_seconds=option.startup.total_s,
        hourly_cost=describe_money(option.hourly_cost),
        price_note=option.price_note[:LONGEST_TEXT],
        tier=option.tier.value,
        evidence=option.evidence[:LONGEST_TEXT],
    )


def _describe_memory(memory: MemoryBudget) -> MemoryPlan:
    return MemoryPlan(
        device=_gibibytes(memory.device_bytes),
        reserved=_gibibytes(memory.reserved_bytes),
        weights=_gibibytes(memory.weights_bytes),
        activations=_gibibytes(memory.activations_bytes),
        overhead=_gibibytes(memory.overhead_bytes),
        kv_cache=_gibibytes(memory.kv_cache_bytes),
    )


def _describe_speed(estimate: ThroughputEstimate) -> SpeedPlan:
    return SpeedPlan(
        input_tokens=estimate.input_tokens,
        output_tokens=estimate.output_tokens,
        concurrency=estimate.concurrency,
        output_tokens_per_second=estimate.output_tokens_per_s,
        time_to_first_token=f"{estimate.time_to_first_token_ms}ms",
        inter_token_latency=f"{estimate.inter_token_latency_us / 1000:.1f}ms",
        dollars_per_million_tokens=describe_money(estimate.dollars_per_million_tokens),
        uncertainty_factor=str(estimate.uncertainty),
    )


def _gibibytes(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.1f} GiB"
