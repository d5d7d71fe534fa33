"""What a plan rests on: the cluster, the sources of weights, prices and support, and what is taken for granted."""

from collections.abc import Iterable
from typing import Final

from mistral_operator.cli.output import gib, seconds
from mistral_operator.cli.plan_words import word_zones
from mistral_operator.cli.profile import Assumption
from mistral_operator.planning.provisioner_advice import GKE
from mistral_operator.planning.types import Plan, PlannedOption

ESTIMATES: Final = "Times, speeds and costs are estimates; nothing was asked of Google and nothing was bought."
LIVE_ESTIMATES: Final = "Times, speeds and costs are estimates, about which Google is not asked; nothing was bought."


def assumptions(plan: Plan, assumption: Assumption) -> list[str]:
    """Where the plan's facts are from and what it takes for granted, a paragraph each."""
    weights = f"{plan.repository}{'@' + plan.revision[:12] if plan.revision else ''}, {gib(plan.weights_bytes)}"
    return [
        word_cluster(assumption),
        f"Weights: {weights}, license {plan.license_id}.",
        *_word_prices(plan.options),
        f"Support: {plan.chosen.evidence}.",
        *_word_cached(plan.chosen),
        *[f"Note: {note}." for note in (*plan.chosen.notes, *plan.notes)],
        LIVE_ESTIMATES if assumption.live else ESTIMATES,
    ]


def _word_prices(options: tuple[PlannedOption, ...]) -> list[str]:
    """Where each rung's price is from, and whether somebody confirmed it."""
    return word_notes("Price", [(str(number), option.price_note) for number, option in enumerate(options, 1)])


def word_notes(what: str, notes: Iterable[tuple[str, str]]) -> list[str]:
    """Such as `Price of 1, 3: …`: each different note once, with the names of what it is about."""
    names: dict[str, dict[str, None]] = {}
    for name, note in notes:
        names.setdefault(note, {})[name] = None
    if len(names) == 1:
        return [f"{what}: {note}." for note in names]
    return [f"{what} of {', '.join(about)}: {note}." for note, about in names.items()]


def _word_cached(option: PlannedOption) -> list[str]:
    start = option.startup
    if not start.cached_compile_s:
        return []
    first, again = seconds(start.compile_s), seconds(start.cached_compile_s)
    return [f"Start: compiling takes about {again}, not {first}, where the compiled programs are in a cache."]


def word_cluster(assumption: Assumption) -> str:
    """What cluster was planned for, and who says so."""
    profile = assumption.profile
    if profile.provider != GKE:
        return f"Cluster: none of GKE's ({assumption.source})."
    return f"Cluster: {profile.provider} in {word_zones(profile.zones)} ({assumption.source})."
