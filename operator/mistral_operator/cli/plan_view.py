"""A plan for people: headline, memory budget with a bar, options, refusals with their arithmetic, assumptions."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import click

from mistral_operator.api.model import MistralModel, OptimizeFor
from mistral_operator.cli.output import Cell, Style, bar, facts, gib, paint, seconds, table, text_width, wrap
from mistral_operator.cli.profile import Assumption
from mistral_operator.planning.speed import count_replicas
from mistral_operator.planning.types import Consumption, MemoryBudget, Plan, PlannedOption, PlanRefused, Refusal, Tier

HOURS_PER_MONTH: Final = 730
_MODES: Final = {Consumption.ON_DEMAND: "on demand", Consumption.SPOT: "spot"}
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


def tell_plan(model: MistralModel, plan: Plan, assumption: Assumption) -> list[str]:
    """The whole plan as lines of text."""
    return [
        *tell_plan_in_short(model, plan),
        *_tell_refusals(plan.refusals),
        "",
        *[paint(line, Style.QUIET) for line in _wrapped(assumptions(plan, assumption))],
    ]


def tell_plan_in_short(model: MistralModel, plan: Plan) -> list[str]:
    """What was chosen, how it fits, and what else would have done."""
    option = plan.chosen
    return [
        f"{paint(plan.display_name, Style.TITLE)}  {paint(full_name(model), Style.QUIET)}",
        *facts(headline(model, plan, option)),
        "",
        paint(f"Memory of each {option.accelerator}, {gib(option.memory.device_bytes)}", Style.TITLE),
        *_tell_memory(option),
        "",
        paint(word_ladder(model), Style.TITLE),
        *_tell_options(plan.options),
        *[paint(line, Style.QUIET) for line in wrap(FIRST_IS_TAKEN)],
    ]


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
    kind = option.machine_type if option.hosts == 1 else f"{option.hosts} × {option.machine_type}"
    slice_ = f" {option.topology}" if option.topology else ""
    machine = f"{option.accelerator_label}{slice_}, {kind}, {_MODES[option.consumption]}"
    return f"{option.devices} × {option.accelerator} ({machine})"


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
    parts += ["whole experts on each device"] if option.expert_parallel else []
    split = ", ".join(parts) or "on one device"
    return split if copies == 1 else f"{copies} copies, each {split}"


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
    if option.hourly_cost is None:
        return f"unknown: {option.price_note}"
    replicas = max(1, model.spec.replicas)
    total = option.hourly_cost * replicas
    count = "one replica" if replicas == 1 else f"{replicas} replicas"
    tokens = option.throughput.dollars_per_million_tokens if option.throughput else None
    busy = "" if tokens is None else f", ${money(tokens)} a million output tokens when busy"
    return f"${money(total)} an hour for {count}, ${money(total * HOURS_PER_MONTH, 0)} a month{busy}"


def tell_replicas(option: PlannedOption, requests_per_s: float) -> str:
    """How many replicas a rate of such requests needs, by the estimate, and what they cost."""
    speed = option.throughput
    if speed is None:
        return "no speed is estimated"
    replicas = count_replicas(speed, Decimal(str(requests_per_s)))
    cost = "unknown" if option.hourly_cost is None else f"${money(option.hourly_cost * replicas)} an hour"
    return (
        f"{requests_per_s:g} requests a second of {speed.input_tokens:,} tokens in and {speed.output_tokens:,} out need"
        f" {replicas} replica{'' if replicas == 1 else 's'} by the estimate, within a factor of {speed.uncertainty}:"
        f" {cost}"
    )


def word_ladder(model: MistralModel) -> str:
    """What the ladder is, and its order."""
    return f"What would do, {_ORDERS[model.spec.optimize_for or OptimizeFor.COST]}"


def money(amount: Decimal, places: int = 2) -> str:
    """Dollars without their sign."""
    return f"{amount:,.{places}f}"


FIRST_IS_TAKEN: Final = "The operator takes the first one; it does not move to another by itself yet."
_ORDERS: Final = {
    OptimizeFor.COST: "cheapest first",
    OptimizeFor.LATENCY: "fastest first, the cheapest of those that are about as fast",
    OptimizeFor.AVAILABILITY: "likeliest to be had first",
}
_SIGNS: Final = ("█", "▓", "▒", "·", "░")


def _tell_memory(option: PlannedOption) -> list[str]:
    memory = option.memory
    names = ("weights", "activations", "overhead", "left alone", "KV cache")
    notes = ("", "", "", "", f"{option.kv_cache_tokens:,} tokens over {option.devices} × {option.accelerator}")
    sizes = _parts(memory)
    rows = [
        [
            Cell(sign, Style.NAME),
            Cell(name),
            Cell(gib(size), right=True),
            Cell(f"{100 * size / memory.device_bytes:.0f} %", right=True),
            Cell(note, Style.QUIET),
        ]
        for sign, name, size, note in zip(_SIGNS, names, sizes, notes, strict=True)
    ]
    drawn = bar(list(zip(sizes, _SIGNS, strict=True)), min(text_width() - 4, 72))
    return ["  " + paint(drawn, Style.NAME), *table(rows)]


def _parts(memory: MemoryBudget) -> tuple[int, ...]:
    return (
        memory.weights_bytes,
        memory.activations_bytes,
        memory.overhead_bytes,
        memory.reserved_bytes,
        memory.kv_cache_bytes,
    )


COLUMNS: Final = ("", "option", "hardware", "context", "sequences", "start", "$/hour", "support")
_EXPENDABLE: Final = ("start", "sequences", "support")
"""Columns that a narrow terminal does without, in this order."""


def _tell_options(options: tuple[PlannedOption, ...]) -> list[str]:
    rows = [option_row(number, option) for number, option in enumerate(options, 1)]
    names = list(COLUMNS)
    for expendable in ("", *_EXPENDABLE):
        names = [name for name in names if name != expendable or not name]
        kept = [COLUMNS.index(name) for name in names]
        lines = table([[row[column] for column in kept] for row in rows], names)
        if max(len(click.unstyle(line)) for line in lines) <= text_width():
            break
    return lines


def option_row(number: int, option: PlannedOption) -> list[Cell]:
    """A rung of the ladder, under `COLUMNS`."""
    return [
        Cell(str(number), right=True),
        Cell(option.name, Style.NAME if number == 1 else Style.PLAIN),
        Cell(f"{option.devices} × {option.accelerator}"),
        Cell(f"{option.context_length:,}", right=True),
        Cell(str(option.max_concurrency), right=True),
        Cell(seconds(option.startup.total_s), right=True),
        Cell("unknown" if option.hourly_cost is None else money(option.hourly_cost), right=True),
        Cell(option.tier.value, TIER_STYLES[option.tier]),
    ]


def _tell_refusals(refusals: Iterable[Refusal]) -> list[str]:
    lines: list[str] = []
    for refusal in refusals:
        lines.append(f"  {refusal.subject}  {paint(refusal.reason, Style.WAITING)}")
        lines += [paint(text, Style.QUIET) for text in wrap(refusal.message, "      ")]
    return ["", paint("Considered and not chosen", Style.TITLE), *lines] if lines else []


def assumptions(plan: Plan, assumption: Assumption) -> list[str]:
    """Where the plan's facts are from and what it takes for granted, a paragraph each."""
    weights = f"{plan.repository}{'@' + plan.revision[:12] if plan.revision else ''}, {gib(plan.weights_bytes)}"
    return [
        word_cluster(assumption),
        f"Weights: {weights}, license {plan.license_id}.",
        f"Price: {plan.chosen.price_note}.",
        f"Support: {plan.chosen.evidence}.",
        *[f"Note: {note}." for note in (*plan.chosen.notes, *plan.notes)],
        "Times and costs are estimates; nothing was asked of Google and nothing was bought.",
    ]


def _wrapped(paragraphs: Iterable[str]) -> list[str]:
    return [line for paragraph in paragraphs for line in wrap(paragraph, "")]


def word_cluster(assumption: Assumption) -> str:
    """What cluster was planned for, and who says so."""
    profile = assumption.profile
    return f"Cluster: {profile.provider} in {word_zones(profile.zones)} ({assumption.source})."


def tell_refused(model: MistralModel, refused: PlanRefused, assumption: Assumption) -> list[str]:
    """Why a model can't be served as asked, and what to write instead."""
    return [
        f"{paint('Refused', Style.BAD)}  {paint(refused.reason, Style.TITLE)}  {paint(full_name(model), Style.QUIET)}",
        *wrap(refused.message),
        *_tell_refusals(refused.refusals),
        "",
        *[paint(line, Style.QUIET) for line in wrap(word_cluster(assumption), "")],
    ]


def markdown_plan(model: MistralModel, plan: Plan, assumption: Assumption) -> str:
    """The plan for a pull request's comment."""
    option = plan.chosen
    return "\n".join([
        f"### {plan.display_name} (`{full_name(model)}`)",
        "",
        *[f"- **{name}**: {value}" for name, value in headline(model, plan, option)],
        "",
        f"{word_ladder(model)}:",
        "",
        "| | Option | Hardware | Context | Sequences | Start | $/hour | Support |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | --- |",
        *[_markdown_row(number, option) for number, option in enumerate(plan.options, 1)],
        "",
        FIRST_IS_TAKEN,
        "",
        *_markdown_refusals(plan.refusals),
        *_wrapped(assumptions(plan, assumption)),
    ])  # fmt: skip


def _markdown_row(number: int, option: PlannedOption) -> str:
    price = "unknown" if option.hourly_cost is None else money(option.hourly_cost)
    cells = (
        str(number),
        f"`{option.name}`",
        f"{option.devices} × {option.accelerator}",
        f"{option.context_length:,}",
        str(option.max_concurrency),
        seconds(option.startup.total_s),
        price,
        option.tier.value,
    )
    return f"| {' | '.join(cells)} |"


def markdown_refused(model: MistralModel, refused: PlanRefused, assumption: Assumption) -> str:
    """The refusal for a pull request's comment."""
    return "\n".join([
        f"### Refused: `{full_name(model)}`",
        "",
        f"**{refused.reason}**: {refused.message}",
        "",
        *_markdown_refusals(refused.refusals),
        word_cluster(assumption),
    ])  # fmt: skip


def _markdown_refusals(refusals: Iterable[Refusal]) -> list[str]:
    lines = [f"- {r.subject}: **{r.reason}**. {r.message}" for r in refusals]
    return ["<details><summary>Considered and not chosen</summary>", "", *lines, "", "</details>", ""] if lines else []
