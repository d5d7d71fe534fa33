"""A finding is what a check says of one condition; reasons are written once, here."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

ConditionStatus = Literal["True", "False", "Unknown"]

MAX_MESSAGE: Final = 4096
"""Characters; longer quotes are cut, with a note that they were."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The state of one condition: status, reason, and a message that says what to do."""

    status: ConditionStatus
    reason: str
    message: str

    @property
    def holds(self) -> bool:
        """True when the condition is met."""
        return self.status == "True"


def met(reason: str, message: str) -> Finding:
    """The condition holds."""
    return Finding("True", reason, message)


def unmet(reason: str, message: str) -> Finding:
    """The condition doesn't hold, and `message` says why."""
    return Finding("False", reason, message)


def quote(text: str) -> str:
    """Make one line of a foreign text, without what a terminal would obey, and cut it to what a condition can hold."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    text = " ".join(text.split())
    return text if len(text) <= MAX_MESSAGE - 200 else text[: MAX_MESSAGE - 200] + " … (cut)"


def read_condition(holder: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """Take one condition out of a live object's status; empty when it isn't there."""
    conditions = holder.get("status", {}).get("conditions") or ()
    return next((condition for condition in conditions if condition.get("type") == kind), {})


def is_true(holder: Mapping[str, Any], kind: str) -> bool:
    """Whether a live object's condition holds; one that isn't there doesn't."""
    return read_condition(holder, kind).get("status") == "True"


def format_time(moment: datetime) -> str:
    """RFC 3339 in whole seconds, as Kubernetes writes it; `moment` is in UTC."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
