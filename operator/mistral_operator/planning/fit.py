"""Does a model fit on a number of devices, and with what context?

The engine's own rule decides: it takes `utilization` of the memory that the driver shows, and what weights,
activations and overhead leave of that is KV cache.
"""

from dataclasses import dataclass, replace
from fractions import Fraction

from mistral_operator.catalogue.accelerator import Accelerator
from mistral_operator.catalogue.engine import Batching, Engine
from mistral_operator.catalogue.model import Model
from mistral_operator.catalogue.units import GIB
from mistral_operator.planning.memory import (
    Layout,
    activation_bytes,
    device_weights_bytes,
    kv_cache_bytes_per_token,
    overhead_bytes,
)
from mistral_operator.planning.types import MemoryBudget
from mistral_operator.planning.units import gib_text, round_down, tokens_text

BLOCK_TOKENS = 16
"""The engine hands out KV cache in blocks of so many tokens."""
CONTEXT_STEP = 1024
"""A context that the planner lowers is a multiple of this."""
SEQUENCE_STEP = 8
"""Batches above this size are multiples of it, as the captured graphs are."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What the user fixed of the engine; None leaves it to the planner."""

    precision: str
    kv_cache_precision: str
    context_length: int | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """A model on its devices, with what it can serve there."""

    memory: MemoryBudget
    kv_cache_tokens: int
    max_context_length: int
    """The largest single request without the safety margin."""
    context_length: int
    max_concurrency: int
    max_batched_tokens: int


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why a model does not fit, with the arithmetic."""

    reason: str
    message: str


def batch_for(engine: Engine, accelerator: Accelerator, concurrency: int | None = None) -> Batching:
    """What the engine batches by default on this accelerator, or as many sequences as are asked for.

    The engine refuses fewer batched tokens than sequences.
    """
    matching = (
        item
        for item in engine.batching
        if accelerator.memory_gib >= item.at_least_gib and accelerator.id not in item.excluded
    )
    default = next(matching, engine.batching[-1])
    if concurrency is None:
        return default
    return replace(default, sequences=concurrency, tokens=max(default.tokens, concurrency))


def fit(
    model: Model,
    engine: Engine,
    accelerator: Accelerator,
    layout: Layout,
    demand: Demand,
    batch: Batching,
) -> Fit | Misfit:
    """Fit one replica of `model` on the devices of `layout`."""
    misfit = (
        check_divisible(model, layout.tensor_parallel)
        or _check_stages(model, layout)
        or _check_formats(engine, accelerator, demand)
    )
    if misfit:
        return misfit
    memory = plan_memory(model, engine, accelerator, layout, demand, batch)
    if memory.kv_cache_bytes <= 0:
        return _weights_exceed(engine, accelerator, layout.devices, memory)
    per_token = kv_cache_bytes_per_token(model.architecture, demand.kv_cache_precision, layout)
    tokens = round_down(memory.kv_cache_bytes // per_token, BLOCK_TOKENS)
    context = _choose_context(model, engine, tokens, demand.context_length)
    if context is None:
        return _context_exceeds(model, engine, memory, tokens, per_token, demand.context_length)
    room = _count_sequences(engine, tokens, context)
    if engine.slots and demand.concurrency and demand.concurrency > room:
        return _slots_exceed(engine, demand.concurrency, context, room)
    return Fit(
        memory=memory,
        kv_cache_tokens=tokens,
        max_context_length=min(model.max_context, tokens),
        context_length=context,
        max_concurrency=demand.concurrency or _choose_concurrency(batch, room),
        max_batched_tokens=batch.tokens,
    )


def plan_memory(
    model: Model, engine: Engine, accelerator: Accelerator, layout: Layout, demand: Demand, batch: Batching
) -> MemoryBudget:
    """Divide one device's memory; `kv_cache_bytes` is what is left, and negative where nothing is."""
    device = accelerator.memory_gib * GIB
    budget = _budget_bytes(engine, accelerator)
    weights = device_weights_bytes(model.architecture, demand.precision, layout)
    activations = activation_bytes(model.architecture, engine.memory, batch, layout.tensor_parallel)
    overhead = overhead_bytes(engine.memory, layout.devices)
    return MemoryBudget(
        device_bytes=device,
        reserved_bytes=device - budget,
        weights_bytes=weights,
        activations_bytes=activations,
        overhead_bytes=overhead,
        kv_cache_bytes=budget - weights - activations - overhead,
    )


def check_divisible(model: Model, devices: int) -> Misfit | None:
    """Check that attention heads, key and value heads and the feed-forward can be split over `devices`."""
    dimensions = model.architecture
    experts = dimensions.experts
    intermediate = experts.intermediate if experts else dimensions.intermediate
    if dimensions.heads % devices:
        return Misfit(
            "HeadsNotDivisible", f"{dimensions.heads} attention heads can't be split evenly over {devices} devices"
        )
    if not dimensions.latent and dimensions.kv_heads % devices and devices % dimensions.kv_heads:
        return Misfit(
            "HeadsNotDivisible",
            f"{dimensions.kv_heads} key-value heads can't be split or copied evenly over {devices} devices",
        )
    if intermediate % devices:
        return Misfit(
            "HeadsNotDivisible", f"a feed-forward width of {intermediate} can't be split evenly over {devices} devices"
        )
    return None


def _check_stages(model: Model, layout: Layout) -> Misfit | None:
    """Check that every pipeline stage gets a layer."""
    layers, stages = model.architecture.layers, layout.pipeline_parallel
    if stages <= layers:
        return None
    return Misfit("TooFewLayers", f"{layers} layers can't be split into {stages} pipeline stages, one a host")


def _check_formats(engine: Engine, accelerator: Accelerator, demand: Demand) -> Misfit | None:
    """Check that the accelerator can hold and compute the number formats."""
    if demand.precision == "fp8" and accelerator.fp8 == "none":
        return Misfit("PrecisionNotSupported", f"{accelerator.name} has no FP8; write spec.engine.precision: BF16")
    if demand.precision == "bf16" and not accelerator.bf16:
        return Misfit("PrecisionNotSupported", f"{accelerator.name} has no bfloat16")
    if demand.kv_cache_precision not in engine.kv_cache_precisions:
        return Misfit(
            "PrecisionNotSupported",
            f"{engine.name} has no FP8 KV cache here; write spec.engine.kvCachePrecision: BF16, or leave it out",
        )
    if demand.kv_cache_precision == "fp8" and accelerator.compute_capability < engine.fp8_kv_cache_capability:
        return Misfit(
            "PrecisionNotSupported",
            f"an FP8 KV cache needs compute capability {engine.fp8_kv_cache_capability}, and {accelerator.name} has"
            f" {accelerator.compute_capability}; write spec.engine.kvCachePrecision: BF16",
        )
    return None


def _budget_bytes(engine: Engine, accelerator: Accelerator) -> int:
    """What the engine may use of one device: vLLM rounds the product up."""
    share = Fraction(engine.utilization) * accelerator.usable_bytes
    return -int(-share // 1)


def _choose_context(model: Model, engine: Engine, tokens: int, asked: int | None) -> int | None:
    """The asked context, or the usual one lowered until several full sequences fit; None where it is too long."""
    rule = engine.memory
    limit = int(tokens * (1 - Fraction(rule.context_margin)))
    if asked is not None:
        return asked if asked <= limit else None
    usual = usual_context(model, engine)
    roomy = limit // rule.full_sequences
    if roomy >= usual:
        return usual
    lowered = round_down(roomy, CONTEXT_STEP)
    return lowered if lowered >= min(rule.least_context, usual) else None


def usual_context(model: Model, engine: Engine) -> int:
    """What is served unless somebody asks for another context or memory is short."""
    return min(model.recommended_context, engine.slots.context) if engine.slots else model.recommended_context


def _count_sequences(engine: Engine, tokens: int, context: int) -> int:
    """So many sequences have some KV cache each, or a place of full length where the engine gives them one."""
    if not engine.slots:
        return tokens // engine.memory.sequence_tokens
    return int(tokens * (1 - Fraction(engine.memory.context_margin))) // context


def _choose_concurrency(batch: Batching, room: int) -> int:
    """As many sequences as there is room for, never more than the engine batches by default."""
    wanted = min(batch.sequences, room)
    return max(1, round_down(wanted, SEQUENCE_STEP) if wanted > SEQUENCE_STEP else wanted)


def _weights_exceed(engine: Engine, accelerator: Accelerator, devices: int, memory: MemoryBudget) -> Misfit:
    needed = memory.weights_bytes + memory.activations_bytes + memory.overhead_bytes
    budget = memory.device_bytes - memory.reserved_bytes
    where = "each device" if devices > 1 else "the device"
    return Misfit(
        "WeightsExceedMemory",
        f"{where} needs {gib_text(needed)} before any KV cache: weights {gib_text(memory.weights_bytes)}"
        f" + activations {gib_text(memory.activations_bytes)} + overhead {gib_text(memory.overhead_bytes)};"
        f" the engine may use {gib_text(budget)} ({engine.utilization:.0%} of"
        f" {gib_text(accelerator.usable_bytes)} usable)",
    )


def _slots_exceed(engine: Engine, concurrency: int, context: int, room: int) -> Misfit:
    return Misfit(
        "SlotsExceedMemory",
        f"{engine.name} gives each sequence a place of {tokens_text(context)} from the start, and {room} of them fit,"
        f" not {concurrency}; write spec.engine.maxConcurrency: {room} or less, or a shorter contextLength",
    )


def _context_exceeds(
    model: Model, engine: Engine, memory: MemoryBudget, tokens: int, per_token: int, asked: int | None
) -> Misfit:
    rule = engine.memory
    limit = round_down(int(tokens * (1 - Fraction(rule.context_margin))), BLOCK_TOKENS)
    room = (
        f"{gib_text(memory.kv_cache_bytes)} of KV cache on each device hold {tokens_text(tokens)},"
        f" {tokens_text(limit)} with the margin of {rule.context_margin:.0%}"
    )
    if asked is not None:
        return Misfit(
            "ContextExceedsMemory",
            f"a context of {tokens_text(asked)} needs {gib_text(asked * per_token)}, but {room};"
            f" write spec.engine.contextLength: {limit} or less"
            if limit
            else room,
        )
    least = min(rule.least_context, usual_context(model, engine))
    return Misfit(
        "ContextExceedsMemory",
        f"{room}: too little for {rule.full_sequences} sequences of {tokens_text(least)}, the least that is planned",
    )
