"""A plan's first lines: its numbers at a glance, then each in a sentence."""

from mistral_operator.api.model import MistralModel
from mistral_operator.cli.output import count, seconds
from mistral_operator.cli.plan_words import HOURS_PER_MONTH, TIER_STYLES, headline, money
from mistral_operator.cli.report.markup import Html, tag
from mistral_operator.planning.types import Plan, PlannedOption


def draw_summary(model: MistralModel, plan: Plan) -> Html:
    """What was chosen."""
    option = plan.chosen
    tiles = [
        _draw_tile(option.hardware, f"{option.machine_type}, {option.engine}"),
        _draw_tile(*_word_cost(model, option)),
        *_draw_speed(option),
        _draw_tile(seconds(option.startup.total_s), "from nothing to ready, estimated"),
        _draw_tile(f"{option.context_length:,}", f"tokens of context, {option.max_concurrency} sequences at once"),
    ]
    pairs = [tag("div", tag("dt", name), tag("dd", text)) for name, text in headline(model, plan, option)]
    return tag("div", tag("div", *tiles, class_="tiles"), tag("dl", *pairs, class_="facts"), class_="summary")


def draw_tier(option: PlannedOption) -> Html:
    """How sure it is, as a badge."""
    return tag("span", option.tier.value, class_=f"badge {TIER_STYLES[option.tier].value}")


def _draw_tile(large: str, small: str) -> Html:
    return tag("div", tag("p", large, class_="large"), tag("p", small, class_="small"), class_="tile")


def _draw_speed(option: PlannedOption) -> list[Html]:
    speed = option.throughput
    if speed is None:
        return []
    doubt = f"estimated within a factor of {speed.uncertainty:f}"
    latency = f"{speed.alone_inter_token_latency_us / 1000:,.1f} ms"
    tiles = [_draw_tile(latency, f"between tokens of a request that is alone, {doubt}")]
    each = speed.dollars_per_million_tokens
    if each is not None:
        tiles.append(
            _draw_tile(
                f"${money(each)}",
                f"a million output tokens with {count(speed.concurrency, 'request')} at once, {doubt}",
            )
        )
    return tiles


def _word_cost(model: MistralModel, option: PlannedOption) -> tuple[str, str]:
    replicas = max(1, model.spec.replicas)
    total = option.cost_of(replicas)
    if total is None:
        return "price unknown", option.price_note
    count = "one replica" if replicas == 1 else f"{replicas} replicas"
    return f"${money(total)}", f"an hour for {count}, ${money(total * HOURS_PER_MONTH, 0)} a month"
