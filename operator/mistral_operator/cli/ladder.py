"""The options of `run` that say when a model moves between the rungs of its ladder."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import click

from mistral_operator.planning.types import LadderSettings

_DEFAULT: Final = LadderSettings()
_HELP: Final[Mapping[str, str]] = {
    "zone_patience_s": "Seconds for which a stock-out is waited out, for each zone of a rung.",
    "stockout_cooldown_s": "Seconds for which a rung that had no capacity is left alone.",
    "refused_cooldown_s": "Seconds for which a rung that a quota or a missing right forbids is left alone.",
    "return_interval_s": "Seconds between two attempts to return to a better rung.",
    "successor_lead_s": "Seconds before the end of a node at which its replica's successor is begun at the latest.",
    "successor_margin": "The same as a multiple of the plan's estimate from nothing to ready; the longer one counts.",
}


def ladder_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add them to a command, which gets them by their names."""
    for name, text in reversed(tuple(_HELP.items())):
        option = f"--{name.replace('_', '-')}"
        default = getattr(_DEFAULT, name)
        command = click.option(
            option, name, type=click.FloatRange(min=0), default=default, show_default=True, help=text
        )(command)
    return command


def take_ladder_settings(given: dict[str, Any]) -> LadderSettings:
    """Take what `ladder_options` gave out of a command's options."""
    return LadderSettings(**{name: given.pop(name) for name in _HELP})
