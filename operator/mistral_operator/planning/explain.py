"""A plan in words and bars, as plain lines for any terminal; figures are estimates and say so."""

from dataclasses import dataclass

from mistral_operator.planning.types import MemoryBudget, Plan, PlannedOption, PlanRefused, Refusal
from mistral_operator.planning.units import dollars_text, gib_text, tokens_text

BAR_WIDTH = 40


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with its lines."""

    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BudgetPart:
    """One part of a device's memory."""

    name: str
    size_bytes: int
    share: float
    """Of the whole device, 0 to 1."""


def explain_plan(answer: Plan | PlanRefused) -> tuple[Section, ...]:
    """Explain the planner's answer; the sections in reading order, empty ones left out."""
    sections: tuple[Section, ...]
    if isinstance(answer, PlanRefused):
        sections = (
            Section("Refused", (f"{answer.reason}: {answer.message}",)),
            Section("Considered", explain_refusals(answer.refusals)),
        )
    else:
        chosen = answer.chosen
        sections = (
            Section("Plan", _describe_plan(answer)),
            Section(f"Memory of each device ({chosen.accelerator}, estimate)", explain_budget(chosen.memory)),
            Section("Start-up (estimate, nothing cached)", explain_startup(chosen)),
            Section(
                "Ladder", tuple(explain_option(rank, option) for rank, option in enumerate(answer.options, start=1))
            ),
            Section("Refused", explain_refusals(answer.refusals)),
        )
    return tuple(section for section in sections if section.lines)


def explain_text(answer: Plan | PlanRefused) -> str:
    """Explain the planner's answer as one text."""
    blocks = ("\n".join((section.title, *(f"  {line}" for line in section.lines))) for section in explain_plan(answer))
    return "\n\n".join(blocks) + "\n"


def split_budget(memory: MemoryBudget) -> tuple[BudgetPart, ...]:
    """The parts of one device's memory, which add up to all of it."""
    parts = (
        ("weights", memory.weights_bytes),
        ("KV cache", memory.kv_cache_bytes),
        ("activations", memory.activations_bytes),
        ("overhead", memory.overhead_bytes),
        ("not used", memory.reserved_bytes),
    )
    return tuple(BudgetPart(name, size, size / memory.device_bytes) for name, size in parts)


def explain_budget(memory: MemoryBudget) -> tuple[str, ...]:
    """One bar for each part of a device's memory, and their sum."""
    bars = (
        f"{part.name:<12}{gib_text(part.size_bytes):>10} {part.share:>5.0%}  {_bar(part.share)}".rstrip()
        for part in split_budget(memory)
    )
    return (*bars, f"{'device':<12}{gib_text(memory.device_bytes):>10}")


def explain_startup(option: PlannedOption) -> tuple[str, ...]:
    """How long each phase of a cold start takes."""
    startup = option.startup
    node = f"node {startup.node_s} s, image {startup.image_s} s"
    return (f"{node}, weights {startup.weights_s} s, compile {startup.compile_s} s: ready after {startup.total_s} s",)


def explain_option(rank: int, option: PlannedOption) -> str:
    """One rung of the ladder in one line."""
    return (
        f"{rank}. {option.name}: {option.devices} × {option.accelerator}, {option.precision},"
        f" context {option.context_length:,}, {cost_text(option)}, {option.tier.value}"
    )


def explain_refusals(refusals: tuple[Refusal, ...]) -> tuple[str, ...]:
    """One line for each refusal, with its arithmetic."""
    return tuple(f"{item.subject}: {item.reason}: {item.message}" for item in refusals)


def cost_text(option: PlannedOption) -> str:
    """What one replica costs."""
    return "price unknown" if option.hourly_cost is None else dollars_text(option.hourly_cost)


def _bar(share: float) -> str:
    return "█" * round(share * BAR_WIDTH)


def _describe_plan(plan: Plan) -> tuple[str, ...]:
    option = plan.chosen
    revision = f" at {plan.revision[:12]}" if plan.revision else ", no commit pinned"
    layout = f"tensor parallel {option.tensor_parallel}" if option.tensor_parallel > 1 else "one device"
    return (
        f"{plan.display_name} ({plan.model_id}), {plan.license_id}",
        f"weights   {plan.repository}{revision}, {gib_text(plan.weights_bytes)}",
        f"hardware  {option.devices} × {option.accelerator_label} on {option.machine_type}, {option.consumption.value}",
        f"engine    {option.engine} {option.engine_version} ({option.image}), {option.precision}, {layout}",
        f"context   {tokens_text(option.context_length)}",
        f"KV cache  {tokens_text(option.kv_cache_tokens)}, up to {option.max_concurrency} sequences at once",
        f"cost      {cost_text(option)} for one replica: {option.price_note}",
        f"support   {option.tier.value}: {option.evidence}",
        *(f"note      {note}" for note in option.notes),
    )
