"""`plan --what-if`: the plan as asked beside the same model with something else fixed."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import click
from pydantic import ValidationError

from mistral_operator.api.model import MistralModel
from mistral_operator.cli.output import seconds
from mistral_operator.cli.plan_view import money, word_hardware, word_layout
from mistral_operator.planning.types import Plan, PlannedOption, PlanRefused

_OPTION_KEYS: Final = ("accelerator", "devices", "machineType", "topology", "consumption")
_ENGINE_KEYS: Final = {
    "engine": "type",
    "precision": "precision",
    "kvCachePrecision": "kvCachePrecision",
    "context": "contextLength",
    "concurrency": "maxConcurrency",
}
_SPEC_KEYS: Final = ("optimizeFor", "model", "variant")
KNOWN: Final = (*_OPTION_KEYS, *_ENGINE_KEYS, *_SPEC_KEYS)


class Variation(NamedTuple):
    """What was changed, and the answer to it."""

    title: str
    answer: Plan | PlanRefused


def vary(model: MistralModel, change: str) -> MistralModel:
    """The model with `key=value,…` fixed; raise UsageError that names what is known."""
    data = model.model_dump(by_alias=True, exclude_defaults=True, mode="json")
    spec = data["spec"]
    options: dict[str, Any] = {}
    for word in change.split(","):
        key, equals, text = (part.strip() for part in word.partition("="))
        value = int(text) if text.isdecimal() else text
        if not equals or key not in KNOWN:
            raise click.UsageError(f"--what-if {word.strip()}: write some of {', '.join(f'{k}=…' for k in KNOWN)}")
        if key in _OPTION_KEYS:
            options[key] = value
        elif key in _ENGINE_KEYS:
            spec.setdefault("engine", {})[_ENGINE_KEYS[key]] = value
        else:
            spec[key] = value
    if options:
        # Other hardware is fixed anew: what the spec says of its own would contradict it.
        spec.setdefault("capacity", {})["options"] = [options]
    try:
        return MistralModel.model_validate(data)
    except ValidationError as error:
        raise click.UsageError(f"--what-if {change}: {error.errors()[0]['msg']}") from None


def compare(variations: Iterable[Variation]) -> tuple[list[str], list[list[str]]]:
    """Titles, and a row for each figure with a cell for each variation; refused ones have their reason."""
    items = list(variations)
    rows = [[name, *(_cell(item.answer, word) for item in items)] for name, word in _FIGURES.items()]
    rows.append(["refused", *(_refusal(item.answer) for item in items)])
    return [item.title for item in items], [row for row in rows if any(row[1:])]


def explain_refusals(variations: Iterable[Variation]) -> list[tuple[str, str]]:
    """Title and arithmetic of each variation that is refused."""
    return [(item.title, item.answer.message) for item in variations if isinstance(item.answer, PlanRefused)]


def _cell(answer: Plan | PlanRefused, word: Callable[[PlannedOption], str]) -> str:
    return word(answer.chosen) if isinstance(answer, Plan) else ""


def _refusal(answer: Plan | PlanRefused) -> str:
    return answer.reason if isinstance(answer, PlanRefused) else ""


def _word_speed(option: PlannedOption, figure: str) -> str:
    speed = option.throughput
    if speed is None:
        return "unknown"
    between_ms, alone_ms = speed.inter_token_latency_us / 1000, speed.alone_inter_token_latency_us / 1000
    words = {
        "tokens": f"{speed.output_tokens_per_s:,} with {speed.concurrency} at once",
        "first": f"{speed.time_to_first_token_ms:,} ms ({speed.alone_time_to_first_token_ms:,} alone)",
        "between": f"{between_ms:.1f} ms ({alone_ms:.1f} alone)",
        "price": "unknown" if speed.dollars_per_million_tokens is None else f"${speed.dollars_per_million_tokens}",
        "factor": f"within a factor of {speed.uncertainty}",
    }
    return words[figure]


_FIGURES: Final[Mapping[str, Callable[[PlannedOption], str]]] = {
    "hardware": word_hardware,
    "engine": lambda option: f"{option.engine} {option.precision}",
    "layout": word_layout,
    "context": lambda option: f"{option.context_length:,} of {option.max_context_length:,}",
    "sequences at once": lambda option: f"{option.max_concurrency:,}",
    "$ an hour": lambda option: "unknown" if option.hourly_cost is None else f"${money(option.hourly_cost)}",
    "$ a million output tokens": lambda option: _word_speed(option, "price"),
    "output tokens/s": lambda option: _word_speed(option, "tokens"),
    "time to first token": lambda option: _word_speed(option, "first"),
    "between tokens": lambda option: _word_speed(option, "between"),
    "estimates": lambda option: _word_speed(option, "factor"),
    "starts in": lambda option: seconds(option.startup.total_s),
    "support": lambda option: option.tier.value,
}
