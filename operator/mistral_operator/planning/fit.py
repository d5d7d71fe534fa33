"""Does a model fit on a number of devices, and with what context?

The engine's own rule decides: it takes `utilization` of the memory that the driver shows, and what weights,
activations and overhead leave of that is KV cache. Everything is said of one copy of the model.
"""

from dataclasses import dataclass, replace

from mistral_operator.catalogue.accelerator import Accelerator
from mistral_operator.catalogue.engine import Batching, Engine
from mistral_operator.catalogue.model import Model
from mistral_operator.catalogue.units import GIB
from mistral_operator.planning.formats import Demand, check_formats
from mistral_operator.planning.layout import Layout, Misfit, check_layout
from mistral_operator.planning.memory import (
    activation_bytes,
    adapter_bytes,
    cached_tokens,
    device_weights_bytes,
    draft_bytes,
    kv_cache_bytes_per_token,
    overhead_bytes,
    sequence_state_bytes,
)
from mistral_operator.planning.types import MemoryBudget
from mistral_operator.planning.units import ceil_div, gib_text, round_down, tokens_text

BLOCK_TOKENS = 16
"""The engine hands out KV cache in blocks of so many tokens."""
CONTEXT_STEP = 1024
"""A context that the planner lowers is a multiple of this."""
SEQUENCE_STEP = 8
"""Batches above this size are multiples of it, as the captured graphs are."""
MILLION = 1_000_000


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
class _Room:
    """What the KV cache of one copy holds."""

    tokens: int
    """Tokens, in whole blocks; 0 where a sequence takes the same whatever its length."""
    sequences: int | None
    """Sequences, where each takes the same; None where tokens are what counts."""
    limit: int
    """Tokens, or sequences, that are planned with: the rest is the safety margin."""


def batch_for(engine: Engine, accelerator: Accelerator, concurrency: int | None = None) -> Batching:
    """What the engine batches by default on this accelerator, or as many sequences as are asked for.

    The engine refuses fewer batched tokens than sequences.
    """
    memory_gib = accelerator.core_bytes // GIB
    matching = (
        item for item in engine.batching if memory_gib >= item.at_least_gib and accelerator.id not in item.excluded
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
    """Fit one copy of `model` on the devices that `layout` gives it."""
    misfit = check_formats(engine, accelerator, demand) or check_layout(model.architecture, layout, demand.group)
    if misfit:
        return misfit
    memory = plan_memory(model, engine, accelerator, layout, demand, batch)
    if memory.kv_cache_bytes <= 0:
        return _weights_exceed(engine, accelerator, layout.devices, memory)
    room = _measure_room(model, engine, layout, demand, memory.kv_cache_bytes)
    context = _choose_context(model, engine, room, demand.context_length, batch)
    if context is None:
        return _context_exceeds(model, engine, layout, demand, memory, room)
    sequences = _count_sequences(engine, room, context)
    if engine.slots and demand.concurrency and demand.concurrency > sequences:
        return _slots_exceed(engine, demand.concurrency, context, sequences)
    return Fit(
        memory=memory,
        kv_cache_tokens=room.tokens,
        max_context_length=_longest_context(model, room, batch),
        context_length=context,
        max_concurrency=demand.concurrency or _choose_concurrency(batch, sequences),
        max_batched_tokens=batch.tokens,
    )


def plan_memory(
    model: Model, engine: Engine, accelerator: Accelerator, layout: Layout, demand: Demand, batch: Batching
) -> MemoryBudget:
    """Divide one device's memory; `kv_cache_bytes` is what is left, and negative where nothing is."""
    architecture, device = model.architecture, accelerator.core_bytes
    budget = _budget_bytes(engine, accelerator)
    weights = device_weights_bytes(architecture, demand.precision, layout)
    activations = activation_bytes(architecture, engine.memory, batch, layout)
    overhead = overhead_bytes(engine.memory, layout.devices)
    adapters = adapter_bytes(architecture, demand.adapters, demand.adapter_rank, layout)
    extras = adapters + draft_bytes(architecture, demand.draft, layout)
    return MemoryBudget(
        device_bytes=device,
        reserved_bytes=device - budget,
        weights_bytes=weights,
        activations_bytes=activations,
        overhead_bytes=overhead,
        kv_cache_bytes=budget - weights - activations - overhead - extras,
        extras_bytes=extras,
    )


def usual_context(model: Model, engine: Engine) -> int:
    """What is served unless somebody asks for another context or memory is short."""
    return min(model.recommended_context, engine.slots.context) if engine.slots else model.recommended_context


def cache_bytes_per_token(model: Model, layout: Layout, demand: Demand) -> int:
    """Bytes of KV cache that one token takes on each device, a draft's layers included."""
    draft_layers = demand.draft.layers if demand.draft else 0
    return kv_cache_bytes_per_token(model.architecture, demand.kv_cache_precision, layout, draft_layers)


def _budget_bytes(engine: Engine, accelerator: Accelerator) -> int:
    """What the engine may use of one device: vLLM rounds the product up."""
    return ceil_div(engine.utilization_ppm * accelerator.usable_bytes, MILLION)


def _measure_room(model: Model, engine: Engine, layout: Layout, demand: Demand, kv_bytes: int) -> _Room:
    state_bytes = sequence_state_bytes(model.architecture, layout)
    if state_bytes:
        sequences = kv_bytes // state_bytes
        return _Room(0, sequences, _less_margin(engine, sequences))
    tokens = round_down(kv_bytes // cache_bytes_per_token(model, layout, demand), BLOCK_TOKENS)
    return _Room(tokens, None, _less_margin(engine, tokens))


def _less_margin(engine: Engine, amount: int) -> int:
    return amount * (100 - engine.memory.context_margin_percent) // 100


def _choose_context(model: Model, engine: Engine, room: _Room, asked: int | None, batch: Batching) -> int | None:
    """The asked context, or the usual one lowered until several full sequences fit; None where it is too long."""
    rule, usual = engine.memory, usual_context(model, engine)
    if room.sequences is not None:
        return (asked or usual) if room.limit else None
    if asked is not None:
        return asked if cached_tokens(model.architecture, asked, batch.tokens) <= room.limit else None
    roomy = room.limit // rule.full_sequences
    if roomy >= cached_tokens(model.architecture, usual, batch.tokens):
        return usual
    lowered = round_down(roomy, CONTEXT_STEP)
    return lowered if lowered >= min(rule.least_context, usual) else None


def _longest_context(model: Model, room: _Room, batch: Batching) -> int:
    """The largest single request without the safety margin."""
    longest = cached_tokens(model.architecture, model.max_context, batch.tokens)
    return model.max_context if room.sequences is not None or longest <= room.tokens else room.tokens


def _count_sequences(engine: Engine, room: _Room, context: int) -> int:
    """So many sequences have some KV cache each, or a place of full length where the engine gives them one."""
    if room.sequences is not None:
        return room.limit
    return room.limit // context if engine.slots else room.tokens // engine.memory.sequence_tokens


def _choose_concurrency(batch: Batching, room: int) -> int:
    """As many sequences as there is room for, never more than the engine batches by default."""
    wanted = min(batch.sequences, room)
    return max(1, round_down(wanted, SEQUENCE_STEP) if wanted > SEQUENCE_STEP else wanted)


def _weights_exceed(engine: Engine, accelerator: Accelerator, devices: int, memory: MemoryBudget) -> Misfit:
    needed = memory.weights_bytes + memory.activations_bytes + memory.overhead_bytes + memory.extras_bytes
    budget = memory.device_bytes - memory.reserved_bytes
    where = "each device" if devices > 1 else "the device"
    extras = f" + adapters and draft {gib_text(memory.extras_bytes)}" if memory.extras_bytes else ""
    return Misfit(
        "WeightsExceedMemory",
        f"{where} needs {gib_text(needed)} before any KV cache: weights {gib_text(memory.weights_bytes)}"
        f" + activations {gib_text(memory.activations_bytes)} + overhead {gib_text(memory.overhead_bytes)}{extras};"
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
    model: Model, engine: Engine, layout: Layout, demand: Demand, memory: MemoryBudget, room: _Room
) -> Misfit:
    rule, kv_text = engine.memory, gib_text(memory.kv_cache_bytes)
    if room.sequences is not None:
        state = gib_text(sequence_state_bytes(model.architecture, layout))
        return Misfit(
            "ContextExceedsMemory",
            f"{kv_text} are left on each device, too little for the state of one sequence, {state} with a margin of"
            f" {rule.context_margin:.0%}",
        )
    limit, asked = round_down(room.limit, BLOCK_TOKENS), demand.context_length
    holds = (
        f"{kv_text} of KV cache on each device hold {tokens_text(room.tokens)},"
        f" {tokens_text(limit)} with the margin of {rule.context_margin:.0%}"
    )
    if asked is not None:
        needed = gib_text(asked * cache_bytes_per_token(model, layout, demand))
        advice = f"; write spec.engine.contextLength: {limit} or less" if limit else ""
        return Misfit("ContextExceedsMemory", f"a context of {tokens_text(asked)} needs {needed}, but {holds}{advice}")
    least = min(rule.least_context, usual_context(model, engine))
    return Misfit(
        "ContextExceedsMemory",
        f"{holds}: too little for {rule.full_sequences} sequences of {tokens_text(least)}, the least that is planned",
    )
