"""What a plan says, in words that its text, its Markdown and its page have in common."""

from decimal import Decimal
from typing import Final

from mistral_operator.api.model import MistralModel, OptimizeFor
from mistral_operator.cli.output import Style, seconds
from mistral_operator.planning.speed import count_replicas
from mistral_operator.planning.types import Consumption, MemoryBudget, Plan, PlannedOption, Tier

HOURS_PER_MONTH: Final = 730
_MODES: Final = {
    Consumption.ON_DEMAND: "on demand",
    Consumption.SPOT: "spot",
    Consumption.FLEX_START: "flex-start",
    Consumption.RESERVATION: "reservation",
}
TIER_WORDS: Final = {
    Tier.VERIFIED: ", it has been run on this hardware",
    Tier.DOCUMENTED: ", a source says that it runs; this project has not run it",
    Tier.EXPERIMENTAL: ", no source says that it runs, and nobody has recorded a run",
    Tier.REFUSED: "",
}
TIER_STYLES: Final = {
    Tier.VERIFIED: Style.GOOD,
    Tier.DOCUMENTED: Style.GOOD,
    Tier.EXPERIMENTAL: Style.WAITING,
    Tier.REFUSED: Style.BAD,
}


def headline(model: MistralModel, plan: Plan, option: PlannedOption) -> list[tuple[str, str]]:
    """The option in six pairs of a name and what there is to say."""
    return [
        ("runs on", f"{word_hardware(option)}, {word_zones(option.zones)}"),
        ("engine", f"{option.engine} {option.engine_version}, {option.precision}, {word_layout(option)}"),
        ("serves", f"{_word_batch(option)}, as {plan.served_name}"),
        *_word_speed(option),
        ("starts in", f"about {seconds(option.startup.total_s)}: {_word_startup(option)}"),
        ("costs", _word_price(model, option)),
        ("support", option.tier.value + TIER_WORDS[option.tier]),
    ]  # fmt: skip


def full_name(model: MistralModel) -> str:
    """Namespace and name, as kubectl users write them."""
    return f"{model.metadata.namespace}/{model.metadata.name}"


def _word_batch(option: PlannedOption) -> str:
    return f"{option.context_length:,} tokens of context, {option.max_concurrency} sequences at once"


def word_hardware(option: PlannedOption) -> str:
    """Such as `1 × l4 (nvidia-l4, g2-standard-8, on demand)`: the catalogue's name, with GKE's in brackets."""
    slice_ = f" {option.topology}" if option.topology else ""
    machine = f"{option.accelerator_label}{slice_}, {_word_kind(option)}, {_word_mode(option)}"
    return f"{word_devices(option)} ({machine})"


def word_devices(option: PlannedOption) -> str:
    """Such as `2 × l4`, or `1g.10gb of h100-80`."""
    return option.hardware


def word_machine(option: PlannedOption) -> str:
    """Such as `g2-standard-8, on demand`, or `2 × ct6e-standard-4t 2x4, spot` for a slice."""
    slice_ = f" {option.topology}" if option.topology else ""
    return f"{_word_kind(option)}{slice_}, {_word_mode(option)}"


def _word_mode(option: PlannedOption) -> str:
    """Where GKE chooses among several ways, all of them in order."""
    ways = (f"{_MODES[bought.consumption]} {bought.reservation}".rstrip() for bought in option.purchases)
    return ", then ".join(dict.fromkeys(ways))


def _word_kind(option: PlannedOption) -> str:
    return option.machine_type if option.hosts == 1 else f"{option.hosts} × {option.machine_type}"


def word_cost(option: PlannedOption) -> str:
    """Dollars an hour without their sign."""
    return "unknown" if option.hourly_cost is None else money(option.hourly_cost)


def word_zones(zones: tuple[str, ...]) -> str:
    """Such as `us-central1 a b c`."""
    regions = {zone.rpartition("-")[0] for zone in zones}
    if len(regions) != 1:
        return " ".join(zones)
    return f"{regions.pop()} {' '.join(zone.rpartition('-')[2] for zone in zones)}"


def word_layout(option: PlannedOption) -> str:
    """Such as `tensor parallel 4, pipeline parallel 2`; for copies of a model, that of one."""
    stages, copies = option.pipeline_parallel, option.data_parallel
    parts = [f"tensor parallel {option.tensor_parallel}"] if option.tensor_parallel * stages > 1 else []
    parts += [f"pipeline parallel {stages}"] if stages > 1 else []
    split = ", ".join(parts) or "on one device"
    if copies == 1:
        return f"{split}, whole experts on each device" if option.expert_parallel else split
    return f"{copies} copies, each {split}{', which share the experts' if option.expert_parallel else ''}"


def _word_speed(option: PlannedOption) -> list[tuple[str, str]]:
    """The estimate in a sentence, with the workload that it is for; nothing for a plan that has none."""
    speed = option.throughput
    if speed is None:
        return []
    first, between = speed.time_to_first_token_ms, speed.inter_token_latency_us / 1000
    requests = "1 request" if speed.concurrency == 1 else f"{speed.concurrency:,} requests"
    alone_first, alone_between = speed.alone_time_to_first_token_ms, speed.alone_inter_token_latency_us / 1000
    sentence = (
        f"{speed.output_tokens_per_s:,} output tokens/s with {requests} at once of {speed.input_tokens:,} tokens in and"
        f" {speed.output_tokens:,} out: the first after {first:,} ms, then one in {between:,.0f} ms; alone"
        f" {alone_first:,} ms and {alone_between:,.0f} ms; within a factor of {speed.uncertainty}"
    )
    return [("estimate", sentence)]


def _word_startup(option: PlannedOption) -> str:
    start = option.startup
    phases = (
        ("node", start.node_s),
        ("image", start.image_s),
        ("weights", start.weights_s),
        ("compile", start.compile_s),
        ("ready", start.ready_s),
    )
    return ", ".join(f"{name} {seconds(value)}" for name, value in phases)


def _word_price(model: MistralModel, option: PlannedOption) -> str:
    replicas = max(1, model.spec.replicas)
    total = option.cost_of(replicas)
    if total is None:
        return f"unknown: {option.price_note}"
    count = "one replica" if replicas == 1 else f"{replicas} replicas"
    tokens = option.throughput.dollars_per_million_tokens if option.throughput else None
    busy = "" if tokens is None else f", ${money(tokens)} a million output tokens when busy"
    return f"${money(total)} an hour for {count}, ${money(total * HOURS_PER_MONTH, 0)} a month{busy}"


def word_replicas(option: PlannedOption, requests_per_s: float) -> str:
    """How many replicas a rate of such requests needs, by the estimate, and what they cost."""
    speed = option.throughput
    if speed is None:
        return "no speed is estimated"
    replicas = count_replicas(speed, Decimal(str(requests_per_s)))
    total = option.cost_of(replicas)
    cost = "at an unknown price" if total is None else f"${money(total)} an hour"
    return (
        f"{requests_per_s:g} requests a second of {speed.input_tokens:,} tokens in and {speed.output_tokens:,} out need"
        f" {replicas} replica{'' if replicas == 1 else 's'} by the estimate, within a factor of {speed.uncertainty}:"
        f" {cost}"
    )


def word_ladder(model: MistralModel) -> str:
    """What the ladder is, and its order."""
    asked = model.spec.capacity.options if model.spec.capacity else ()
    order = _ORDERS[model.spec.optimize_for or OptimizeFor.COST]
    return f"What would do, {'in the order of spec.capacity.options' if len(asked) > 1 else order}"


def divide_memory(memory: MemoryBudget) -> list[tuple[str, int]]:
    """The parts of one device's memory in bytes, in the order of the bar; they add up to the whole."""
    extras = [("adapters and draft", memory.extras_bytes)] if memory.extras_bytes else []
    return [
        ("weights", memory.weights_bytes),
        ("activations", memory.activations_bytes),
        ("overhead", memory.overhead_bytes),
        *extras,
        ("left alone", memory.reserved_bytes),
        ("KV cache", memory.kv_cache_bytes),
    ]


def word_cache(option: PlannedOption) -> str:
    """What the KV caches of all devices hold."""
    return f"{option.kv_cache_tokens:,} tokens over {word_devices(option)}"


def money(amount: Decimal, places: int = 2) -> str:
    """Dollars without their sign."""
    return f"{amount:,.{places}f}"


LADDER_RULE: Final = "The operator begins with the first, and moves to the next one where there is no capacity."
_ORDERS: Final = {
    OptimizeFor.COST: "cheapest first",
    OptimizeFor.LATENCY: "fastest first, the cheapest of those that are about as fast",
    OptimizeFor.AVAILABILITY: "likeliest to be had first",
}
