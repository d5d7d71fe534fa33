"""The status of a model whose objects the API server refuses: said once, and not tried for ever."""

from datetime import datetime

from mistral_operator.api.model import MistralModel
from mistral_operator.core.types import Manifest
from mistral_operator.status.build import read_status, write_conditions
from mistral_operator.status.findings import met, unmet


def failed_status(model: MistralModel, error_message: str, now: datetime, reason: str) -> Manifest:
    """Keep the last status, and say in Ready and Stalled what the API server said."""
    before = read_status(model)
    message = f"An object of this model can't be applied: {error_message}"
    findings = {"Ready": unmet(reason, message), "Stalled": met(reason, message)}
    said = write_conditions(findings, before.conditions, model.metadata.generation, now)
    others = tuple(condition for condition in before.conditions if condition.type not in findings)
    summary = (before.summary.model_copy(update={"reason": reason})) if before.summary else None
    update = {
        "conditions": (said[0], *others, said[1]),
        "observed_generation": model.metadata.generation,
        "summary": summary,
    }
    return before.model_copy(update=update).model_dump(by_alias=True, exclude_defaults=True, mode="json")
