"""How fast one replica is: a roofline model of prefill and decode. Estimates, for the engine's efficiencies are data.

A step of the engine takes the longer of two times: the operations over the peak rate, and the bytes that are read
(weights, KV cache) over the memory's bandwidth, each with the engine's share of the peak; never less than the kernels
take to start; then what the devices say to each other. Prefill is bound by operations, decode by bytes. Requests
come without pause, as many at once as the workload says; each prefill delays the others' next token.
Williams, Waterman, Patterson: Roofline (2009); Pope et al.: Efficiently Scaling Transformer Inference (2022).
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from typing import Final

from mistral_operator.catalogue.accelerator import Accelerator
from mistral_operator.catalogue.engine import Engine
from mistral_operator.catalogue.model import Model
from mistral_operator.planning.fit import Fit, cache_bytes_per_token
from mistral_operator.planning.formats import Demand, is_weight_only
from mistral_operator.planning.layout import Layout
from mistral_operator.planning.memory import SIXTEEN_BIT, cached_tokens, sequence_state_bytes
from mistral_operator.planning.types import ThroughputEstimate
from mistral_operator.planning.work import active_parameters, read_bytes

TERA: Final = 1e12
GIGA: Final = 1e9
TRANSFERS_PER_LAYER: Final = 2
"""All-reduces of one layer under tensor parallelism, after attention and feed-forward; or to experts and back."""
SLOWEST_LINK_GB_S: Final = 32
"""PCIe 4.0 with 16 lanes, where the catalogue has no figure."""
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
    """One copy of the model on its devices, as far as speed goes."""

    model: Model
    engine: Engine
    accelerator: Accelerator
    layout: Layout
    demand: Demand
    fitted: Fit


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds, at some number of requests at once in one copy."""

    first_token_s: float
    token_s: float


def estimate_throughput(machine: Machine, workload: Workload, hourly_cost: Decimal | None) -> ThroughputEstimate:
    """Estimate one replica's speed at a workload. Never raises; all figures are of the order of their uncertainty."""
    copies = machine.layout.data_parallel
    concurrency = _choose_concurrency(machine, workload)
    pace = measure_pace(machine, workload, concurrency)
    alone = measure_pace(machine, workload, 1)
    tokens_per_s = copies * concurrency / pace.token_s
    return ThroughputEstimate(
        input_tokens=workload.input_tokens,
        output_tokens=workload.output_tokens,
        concurrency=copies * concurrency,
        time_to_first_token_ms=ceil(pace.first_token_s * 1e3),
        inter_token_latency_us=ceil(pace.token_s * 1e6),
        alone_time_to_first_token_ms=ceil(alone.first_token_s * 1e3),
        alone_inter_token_latency_us=ceil(alone.token_s * 1e6),
        output_tokens_per_s=max(1, int(tokens_per_s)),
        dollars_per_million_tokens=_price_tokens(hourly_cost, tokens_per_s),
        uncertainty=machine.engine.efficiency.uncertainty,
    )


def count_replicas(estimate: ThroughputEstimate, requests_per_s: Decimal) -> int:
    """Replicas that a rate of requests like the estimate's needs, by the estimate."""
    return max(1, ceil(requests_per_s * estimate.output_tokens / estimate.output_tokens_per_s))


def measure_pace(machine: Machine, workload: Workload, concurrency: int) -> Pace:
    """Time to the first token and between tokens with `concurrency` requests at once in one copy."""
    prefill_s = _prefill_s(machine, workload.input_tokens)
    step_s = _decode_s(machine, workload.input_tokens + workload.output_tokens // 2, concurrency)
    # While one request makes all its tokens, each of the others' places is filled anew once.
    token_s = step_s + concurrency * prefill_s / workload.output_tokens
    return Pace(first_token_s=prefill_s + token_s, token_s=token_s)


def _choose_concurrency(machine: Machine, workload: Workload) -> int:
    """The asked requests at once, or all that have room; lowered until the wished latencies are kept."""
    room = _count_room(machine, workload)
    most = min(room, ceil(workload.concurrency / machine.layout.data_parallel)) if workload.concurrency else room
    kept = _keeps(machine, workload)
    low, high = 1, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if kept(middle) else (low, middle - 1)
    return low


def _count_room(machine: Machine, workload: Workload) -> int:
    """Requests of the workload's length that have room in the KV cache of one copy, and in the batch."""
    fitted, architecture = machine.fitted, machine.model.architecture
    length = min(workload.input_tokens + workload.output_tokens, fitted.context_length)
    held = cached_tokens(architecture, length, fitted.max_batched_tokens)
    places = fitted.kv_cache_tokens // held if fitted.kv_cache_tokens else fitted.max_concurrency
    return max(1, min(places, fitted.max_concurrency))


def _keeps(machine: Machine, workload: Workload) -> Callable[[int], bool]:
    first_ms, token_ms = workload.time_to_first_token_ms, workload.inter_token_latency_ms

    def kept(concurrency: int) -> bool:
        if first_ms is None and token_ms is None:
            return True
        pace = measure_pace(machine, workload, concurrency)
        return (first_ms is None or pace.first_token_s * 1e3 <= first_ms) and (
            token_ms is None or pace.token_s * 1e3 <= token_ms
        )

    return kept


def _prefill_s(machine: Machine, tokens: int) -> float:
    """One prompt alone, in steps of as many tokens as are batched; pipeline stages work on it one after the other."""
    architecture, layout = machine.model.architecture, machine.layout
    attention = 2 * architecture.layers * architecture.heads * architecture.head_dim * tokens * tokens
    operations = 2 * active_parameters(architecture) * tokens + attention
    compute_s = operations / layout.tensor_parallel / _operations_per_s(machine)
    read_s = _weights_read_s(machine, tokens)
    steps = ceil(tokens / machine.fitted.max_batched_tokens)
    return max(compute_s, read_s, _least_s(machine)) + _exchange_s(machine, tokens) + steps * _step_s(machine)


def _decode_s(machine: Machine, context: int, concurrency: int) -> float:
    """One token for each of `concurrency` requests of `context` tokens."""
    architecture, layout = machine.model.architecture, machine.layout
    stages = layout.pipeline_parallel
    # In a pipeline the requests are in as many groups as there are stages, and each group passes all of them.
    group = ceil(concurrency / stages)
    operations = 2 * active_parameters(architecture) * group
    compute_s = operations / layout.tensor_parallel / _operations_per_s(machine)
    held = cached_tokens(architecture, context, machine.fitted.max_batched_tokens)
    cached = held * cache_bytes_per_token(machine.model, layout, machine.demand)
    # A state is read and written in each step.
    state = 2 * sequence_state_bytes(architecture, layout)
    read_s = _weights_read_s(machine, group) + group * stages * (cached + state) / _bytes_per_s(machine)
    return max(compute_s, read_s, _least_s(machine)) + _exchange_s(machine, group) + _step_s(machine)


def _weights_read_s(machine: Machine, tokens: int) -> float:
    """Reading the weights that work on `tokens` tokens once, on all stages one after the other."""
    size = read_bytes(machine.model.architecture, machine.demand.precision, machine.layout, tokens)
    return size / _bytes_per_s(machine)


def _exchange_s(machine: Machine, tokens: int) -> float:
    """What devices say to each other in all layers about `tokens` tokens.

    All-reduces in a ring over the devices that share a layer; and, where copies share experts, each token on its way to
    its experts and back.
    """
    architecture, layout = machine.model.architecture, machine.layout
    devices, experts = layout.tensor_parallel, architecture.experts
    vector = tokens * architecture.hidden * SIXTEEN_BIT
    reduced_s = _transfer_s(machine, 2 * (devices - 1) / devices * vector) if devices > 1 else 0.0
    shared = experts is not None and layout.expert_parallel and layout.data_parallel > 1
    sent_s = _transfer_s(machine, experts.active * vector) if experts and shared else 0.0
    return TRANSFERS_PER_LAYER * architecture.layers * (reduced_s + sent_s)


def _transfer_s(machine: Machine, size: float) -> float:
    efficiency = machine.engine.efficiency
    link = (machine.accelerator.interconnect_gb_s or SLOWEST_LINK_GB_S) * GIGA * float(efficiency.interconnect)
    return size / link + efficiency.collective_us / 1e6


def _least_s(machine: Machine) -> float:
    return machine.model.architecture.layers * machine.engine.efficiency.layer_us / 1e6


def _step_s(machine: Machine) -> float:
    return machine.engine.efficiency.step_us / 1e6


def _operations_per_s(machine: Machine) -> float:
    """Of one device: in 8 bit only where both the weights and the device are."""
    accelerator = machine.accelerator
    eight_bit = machine.demand.precision in ("fp8", "nvfp4") and not is_weight_only(accelerator, "fp8")
    peak = accelerator.fp8_tflops if eight_bit and accelerator.fp8_tflops else accelerator.bf16_tflops
    return peak * TERA / accelerator.cores * float(machine.engine.efficiency.compute)


def _bytes_per_s(machine: Machine) -> float:
    accelerator = machine.accelerator
    return accelerator.bandwidth_gb_s * GIGA / accelerator.cores * float(machine.engine.efficiency.bandwidth)


def _price_tokens(hourly_cost: Decimal | None, tokens_per_s: float) -> Decimal | None:
    """US dollars for a million output tokens, in cents and at least one."""
    if hourly_cost is None:
        return None
    dollars = hourly_cost * 1_000_000 / (Decimal(max(1, int(tokens_per_s))) * HOURLY_S)
    return max(dollars, Decimal("0.01")).quantize(Decimal("0.01"))
