"""What a report is made of."""

from dataclasses import dataclass

from mistral_operator.api.model import MistralModel
from mistral_operator.planning.types import Plan, PlannedOption, PlanRefused


@dataclass(frozen=True, slots=True)
class Entry:
    """One model with its answer."""

    model: MistralModel
    answer: Plan | PlanRefused
    feasible: tuple[PlannedOption, ...] = ()
    """All options that would do, those beyond the ladder too; empty where only the ladder is known."""
