"""What a model's status says beside its state when the API server refuses one of its objects."""

from datetime import datetime

from mistral_operator.api.common import Condition
from mistral_operator.api.status import ModelStatus
from mistral_operator.core.types import Manifest
from mistral_operator.status.build import write_conditions
from mistral_operator.status.findings import Finding, met, unmet


def add_failure(
    status: Manifest, previous: Manifest, *, reason: str, message: str, lasting: bool, now: datetime
) -> Manifest:
    """Say in a status that was just made what could not be applied.

    What serves goes on being Ready, and is Degraded; a model that serves nothing is not ready for this reason.
    `lasting` tells whether waiting is of no use. `previous` is the status that is there now: its times are kept.
    """
    made, before = ModelStatus.model_validate(status), ModelStatus.model_validate(previous)
    ready = next((condition for condition in made.conditions if condition.type == "Ready"), None)
    text = f"An object of this model can't be applied: {message}"
    said: dict[str, Finding] = {"Stalled": met(reason, text)} if lasting else {}
    said |= {"Degraded": met(reason, text)} if ready and ready.status == "True" else {"Ready": unmet(reason, text)}
    generation = made.observed_generation or 0
    replaced = {c.type: c for c in write_conditions(said, before.conditions, generation, now)}
    conditions: tuple[Condition, ...] = tuple(replaced.get(c.type, c) for c in made.conditions)
    summary = made.summary.model_copy(update={"reason": reason}) if made.summary else None
    told = made.model_copy(update={"conditions": conditions, "summary": summary})
    return told.model_dump(by_alias=True, exclude_defaults=True, mode="json")
