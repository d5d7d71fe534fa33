"""How fast one replica is: a roofline model of prefill and decode. Estimates, for the engine's efficiencies are data.

A step of the engine takes the longer of two times: the operations over the peak rate, and the bytes that are read
(weights, KV cache) over the memory's bandwidth, each with the engine's share of the peak; then the time that
kernels take to start, and what the devices say to each other. Prefill is bound by operations, decode by bytes. Requests
come without pause, as many at once as the workload says; each prefill delays the others' next token.
Williams, Waterman, Patterson: Roofline (2009); Pope et al.: Efficiently Scaling Transformer Inference (2022).
"""

from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from typing import Final

from mistral_operator.catalogue.accelerator import Accelerator
from mistral_operator.catalogue.architecture import Architecture
from mistral_operator.catalogue.engine import Efficiency, Engine
from mistral_operator.catalogue.model import Model
from mistral_operator.planning.fit import Fit, cache_bytes_per_token
from mistral_operator.planning.formats import Demand, is_weight_only
from mistral_operator.planning.layout import Layout
from mistral_operator.planning.memory import SIXTEEN_BIT, cached_tokens, sequence_state_bytes
from mistral_operator.planning.types import ThroughputEstimate
from mistral_operator.planning.work import Reading, active_parameters, describe_reading

TERA: Final = 1e12
GIGA: Final = 1e9
TRANSFERS_PER_LAYER: Final = 2
"""All-reduces of one layer under tensor parallelism, after attention and feed-forward; or to experts and back."""
HOURLY_S: Final = 3600


@dataclass(frozen=True, slots=True)
class Workload:
    """What requests are like. The default is the one that estimates are stated for where nobody says otherwise."""

    input_tokens: int = 1024
    output_tokens: int = 256
    concurrency: int | None = None
    """Requests at once in one replica; None for as many as it has room for."""
    time_to_first_token_ms: int | None = None
    """Most that is wanted; fewer requests at once are estimated where more would take longer."""
    inter_token_latency_ms: int | None = None


USUAL: Final = Workload()


@dataclass(frozen=True, slots=True)
class Machine:
    """One copy of the model on its devices, as far as speed goes: what a step does, and how fast it can be."""

    efficiency: Efficiency
    copies: int
    layers: int
    stages: int
    """Of the pipeline."""
    fitted: Fit
    architecture: Architecture
    token_operations: float
    """Of one token, on one device."""
    attention_operations: float
    """Of one pair of tokens in a prompt, on one device."""
    weights: Reading
    cache_bytes: int
    """Of one token, on one device of a stage."""
    state_bytes: int
    """Of one sequence, likewise."""
    operations_per_s: float
    """That one device reaches."""
    bytes_per_s: float
    link_bytes_per_s: float
    reduced_bytes: float
    """That each device sends to add up one token in one all-reduce; 0 where a layer is on one device."""
    routed_bytes: float
    """That one token takes on its way to its experts; 0 where they are on the same devices."""


def describe_machine(
    model: Model, engine: Engine, accelerator: Accelerator, layout: Layout, demand: Demand, fitted: Fit
) -> Machine:
    """Work out once what all estimates of one layout have in common."""
    architecture, efficiency, tensor = model.architecture, engine.efficiency, layout.tensor_parallel
    heads = 2 * architecture.layers * architecture.heads * architecture.head_dim
    vector = architecture.hidden * SIXTEEN_BIT
    return Machine(
        efficiency=efficiency,
        copies=layout.data_parallel,
        layers=architecture.layers,
        stages=layout.pipeline_parallel,
        fitted=fitted,
        architecture=architecture,
        token_operations=2 * active_parameters(architecture) / tensor,
        attention_operations=heads / tensor,
        weights=describe_reading(architecture, demand.precision, layout, fitted.memory.weights_bytes),
        cache_bytes=cache_bytes_per_token(model, layout, demand),
        state_bytes=sequence_state_bytes(architecture, layout),
        operations_per_s=_peak_operations_per_s(accelerator, demand) * float(efficiency.compute),
        bytes_per_s=accelerator.bandwidth_gb_s * GIGA / accelerator.cores * float(efficiency.bandwidth),
        link_bytes_per_s=accelerator.interconnect_gb_s / accelerator.cores * GIGA * float(efficiency.interconnect),
        reduced_bytes=2 * (tensor - 1) / tensor * vector,
        routed_bytes=_routed_bytes(architecture, layout, vector),
    )


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds, at some number of requests at once in one copy."""

    first_token_s: float
    token_s: float


def estimate_throughput(machine: Machine, workload: Workload, hourly_cost: Decimal | None) -> ThroughputEstimate:
    """Estimate one replica's speed at a workload. Never raises; all figures are of the order of their uncertainty."""
    prefill_s = _prefill_s(machine, workload.input_tokens)
    concurrency = _choose_concurrency(machine, workload, prefill_s)
    pace, alone = (_measure_pace(machine, workload, prefill_s, count) for count in (concurrency, 1))
    tokens_per_s = machine.copies * concurrency / pace.token_s
    return ThroughputEstimate(
        input_tokens=workload.input_tokens,
        output_tokens=workload.output_tokens,
        concurrency=machine.copies * concurrency,
        time_to_first_token_ms=ceil(pace.first_token_s * 1e3),
        inter_token_latency_us=ceil(pace.token_s * 1e6),
        alone_time_to_first_token_ms=ceil(alone.first_token_s * 1e3),
        alone_inter_token_latency_us=ceil(alone.token_s * 1e6),
        output_tokens_per_s=max(1, int(tokens_per_s)),
        dollars_per_million_tokens=_price_tokens(hourly_cost, tokens_per_s),
        uncertainty=machine.efficiency.uncertainty,
    )


def count_replicas(estimate: ThroughputEstimate, requests_per_s: Decimal) -> int:
    """Replicas that a rate of requests like the estimate's needs, by the estimate."""
    return max(1, ceil(requests_per_s * estimate.output_tokens / estimate.output_tokens_per_s))


def _measure_pace(machine: Machine, workload: Workload, prefill_s: float, concurrency: int) -> Pace:
    """Time to the first token and between tokens with `concurrency` requests at once in one copy."""
    step_s = _decode_s(machine, workload.input_tokens + workload.output_tokens // 2, concurrency)
    # While one request makes all its tokens, each of the others' places is filled anew once.
    token_s = step_s + (concurrency - 1) * prefill_s / workload.output_tokens
    return Pace(first_token_s=prefill_s + token_s, token_s=token_s)


def _choose_concurrency(machine: Machine, workload: Workload, prefill_s: float) -> int:
    """The asked requests at once, or all that have room; lowered until the wished latencies are kept."""
    room = _count_room(machine, workload)
    most = min(room, ceil(workload.concurrency / machine.copies)) if workload.concurrency else room
    if workload.time_to_first_token_ms is None and workload.inter_token_latency_ms is None:
        return most
    low, high = 1, most
    while low < high:
        middle = (low + high + 1) // 2
        kept = _is_kept(workload, _measure_pace(machine, workload, prefill_s, middle))
        low, high = (middle, high) if kept else (low, middle - 1)
    return low


def _count_room(machine: Machine, workload: Workload) -> int:
    """Requests of the workload's length that have room in the KV cache of one copy, and in the batch."""
    fitted = machine.fitted
    length = min(workload.input_tokens + workload.output_tokens, fitted.context_length)
    held = cached_tokens(machine.architecture, length, fitted.max_batched_tokens)
    places = fitted.kv_cache_tokens // held if fitted.kv_cache_tokens else fitted.max_concurrency
    return max(1, min(places, fitted.max_concurrency))


def _is_kept(workload: Workload, pace: Pace) -> bool:
    first_ms, token_ms = workload.time_to_first_token_ms, workload.inter_token_latency_ms
    first_kept = first_ms is None or pace.first_token_s * 1e3 <= first_ms
    return first_kept and (token_ms is None or pace.token_s * 1e3 <= token_ms)


def _prefill_s(machine: Machine, tokens: int) -> float:
    """One prompt alone, in steps of as many tokens as are batched; pipeline stages work on it one after the other."""
    operations = machine.token_operations * tokens + machine.attention_operations * tokens * tokens
    steps = ceil(tokens / machine.fitted.max_batched_tokens)
    return _step_s(machine, operations, machine.weights.read_bytes(tokens), tokens) + (steps - 1) * _between_s(machine)


def _decode_s(machine: Machine, context: int, concurrency: int) -> float:
    """One token for each of `concurrency` requests of `context` tokens."""
    # In a pipeline the requests are in as many groups as there are stages, and each group passes all of them.
    group = ceil(concurrency / machine.stages)
    held = cached_tokens(machine.architecture, context, machine.fitted.max_batched_tokens)
    # A state is read and written in each step.
    cached = group * machine.stages * (held * machine.cache_bytes + 2 * machine.state_bytes)
    return _step_s(machine, machine.token_operations * group, machine.weights.read_bytes(group) + cached, group)


def _step_s(machine: Machine, operations: float, read: float, tokens: int) -> float:
    """A step over `tokens` tokens: the slower of computing and reading, what devices exchange, and the rest."""
    start_s = machine.layers * machine.efficiency.layer_us / 1e6
    work_s = max(operations / machine.operations_per_s, read / machine.bytes_per_s) + start_s
    sent = (_transfer_s(machine, size * tokens) for size in (machine.reduced_bytes, machine.routed_bytes) if size)
    return work_s + TRANSFERS_PER_LAYER * machine.layers * sum(sent) + _between_s(machine)


def _between_s(machine: Machine) -> float:
    return machine.efficiency.step_us / 1e6


def _transfer_s(machine: Machine, size: float) -> float:
    return size / machine.link_bytes_per_s + machine.efficiency.collective_us / 1e6


def _routed_bytes(architecture: Architecture, layout: Layout, vector: int) -> float:
    experts = architecture.experts
    spread = experts and layout.expert_parallel and layout.data_parallel > 1
    return experts.active * vector if experts and spread else 0


def _peak_operations_per_s(accelerator: Accelerator, demand: Demand) -> float:
    """Of one device: in 8 bit only where both the weights and the device are."""
    eight_bit = demand.precision in ("fp8", "nvfp4") and not is_weight_only(accelerator, "fp8")
    peak = accelerator.fp8_tflops if eight_bit and accelerator.fp8_tflops else accelerator.bf16_tflops
    return peak * TERA / accelerator.cores


def _price_tokens(hourly_cost: Decimal | None, tokens_per_s: float) -> Decimal | None:
    """US dollars for a million output tokens, in cents and at least one."""
    if hourly_cost is None:
        return None
    dollars = hourly_cost * 1_000_000 / (Decimal(max(1, int(tokens_per_s))) * HOURLY_S)
    return max(dollars, Decimal("0.01")).quantize(Decimal("0.01"))
