"""What changes about one model between two looks, as lines for people. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from mistral_operator.cli.observe import Belongings
from mistral_operator.cli.output import Style, count
from mistral_operator.cli.story import condition_style, find_condition, word_pod

_FOLLOWED: Final = ("Accepted", "CapacityReady", "WeightsReady", "WorkloadReady", "Degraded", "Ready")
# What every model goes through while another line already says what it waits for.
_NO_NEWS: Final = frozenset(
    {"NotPlanned", "ClaimPending", "WaitingForReplica", "Starting", "ReplicasReady", "ReplicasMissing"}
)
_MAX_MESSAGE: Final = 90


class Change(NamedTuple):
    """One thing that is different now."""

    topic: str
    text: str
    style: Style = Style.PLAIN


class Follower:
    """Remembers the last look."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}

    def look(self, belongings: Belongings) -> list[Change]:
        """What has changed since the last look: the pool first, then pods, then what the operator makes of it."""
        views = [*_view_claims(belongings), *_view_pods(belongings), *_view_conditions(belongings.model)]
        changes = [change for key, value, change in views if self._seen.get(key) != value]
        self._seen |= {key: value for key, value, _ in views}
        return changes


View = tuple[str, str, Change]
"""What is looked at, its present value, and the line to print when the value is new."""


def _view_claims(belongings: Belongings) -> Iterator[View]:
    for claim in belongings.claims:
        name, status = claim["metadata"]["name"], claim.get("status") or {}
        nodes = status.get("nodes") or {}
        state = str(status.get("state", "Pending"))
        size = f", {count(nodes.get('current', 0), 'node')}" if nodes else ""
        yield f"claim {name}", state + size, Change("node pool", f"{name}: {state}{size}")


def _view_pods(belongings: Belongings) -> Iterator[View]:
    for pod in belongings.pods:
        name, word = pod["metadata"]["name"], word_pod(pod)
        node = pod["spec"].get("nodeName", "")
        place = f" on {node}" if node else ""
        yield f"pod {name}", word + place, Change("pod", f"{name}: {word}{place}")


def _view_conditions(model: Mapping[str, Any]) -> Iterator[View]:
    for kind in _FOLLOWED:
        condition = find_condition(model, kind)
        if condition and _is_news(condition):
            text = f"{kind}: {condition['reason']}. {shorten(condition['message'])}"
            yield kind, condition["status"] + condition["reason"], Change("model", text, condition_style(condition))


def _is_news(condition: Mapping[str, Any]) -> bool:
    """Why a model isn't ready is said by the other conditions; that it isn't degraded is no news."""
    if condition["type"] in ("Ready", "Degraded") and condition["status"] != "True":
        return False
    return condition["reason"] not in _NO_NEWS


def shorten(text: str) -> str:
    """Cut to what fits beside other words."""
    return text if len(text) <= _MAX_MESSAGE else text[: _MAX_MESSAGE - 1].rstrip() + "…"
