"""What Config Connector's Events tell of a pool that it calls up to date, and that GKE may not have made. Pure.

An Event is nobody's property: whoever may create Events in the namespace writes what he likes about an object. So only
those count that name Config Connector's controller, and that were there when the condition came to say that the pool
is ready: a failure after that would have changed the condition, which only Config Connector may write.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from mistral_operator.api.times import read_time
from mistral_operator.capacity.objects.node_pool_condition import is_failed_operation, ready_condition

CONTROLLER: Final = "containernodepool-controller"
"""The component that Config Connector's Events about ContainerNodePools name as their source."""
EVENTS_LAST_S: Final = 3600.0
"""So long the API server keeps Events."""

_STARTED: Final = "Updating"
"""Reason of the Event with which work in GKE begins. Taking over a pool that is as asked for is no work."""
_NEVER: Final = datetime.min.replace(tzinfo=UTC)

Event = Mapping[str, Any]


def may_have_failed(body: Mapping[str, Any], *, age_s: float) -> bool:
    """Whether Events are to be asked: of a pool that is called up to date, and whose making they still tell of."""
    return ready_condition(body).get("status") == "True" and age_s < EVENTS_LAST_S


def find_failures(bodies: Iterable[Mapping[str, Any]], events: Iterable[Event]) -> dict[str, str]:
    """Uid → what Config Connector said when GKE couldn't make the pool of that object.

    A failure counts until Config Connector begins again. One that it passes over by taking the pool as it is stays.
    """
    about: dict[str, list[Event]] = {}
    for event in events:
        about.setdefault(str((event.get("involvedObject") or {}).get("uid")), []).append(event)
    told = ((body["metadata"]["uid"], list(_believed(body, about.get(body["metadata"]["uid"], ())))) for body in bodies)
    return {uid: text for uid, believed in told if (text := _last_failure(believed))}


def _believed(body: Mapping[str, Any], events: Iterable[Event]) -> Iterator[Event]:
    ready_at = _moment(ready_condition(body).get("lastTransitionTime"))
    for event in events:
        # The API server writes the first of these times, whoever the Event is of.
        times = (event["metadata"].get("creationTimestamp"), event.get("lastTimestamp"))
        if _source(event) == {CONTROLLER} and max(map(_moment, times)) <= ready_at:
            yield event


def _source(event: Event) -> set[str]:
    """Who says that he wrote it; the recorders of different ages fill in either field, or both."""
    named = ((event.get("source") or {}).get("component"), event.get("reportingComponent"))
    return {str(name) for name in named if name}


def _last_failure(events: Iterable[Event]) -> str:
    """What the last failure said; empty when work was begun after it."""
    known = sorted(events, key=_written)
    relevant = [event for event in known if event.get("reason") == _STARTED or _tells_failure(event)]
    return str(relevant[-1].get("message", "")) if relevant and _tells_failure(relevant[-1]) else ""


def _tells_failure(event: Event) -> bool:
    return is_failed_operation(str(event.get("message", "")))


def _written(event: Event) -> tuple[datetime, int]:
    """When it was last written. Times are in whole seconds; versions within one kind are in the order of writes."""
    version = str(event["metadata"].get("resourceVersion", ""))
    return _moment(event.get("lastTimestamp")), int(version) if version.isdigit() else 0


def _moment(time: Any) -> datetime:
    """A time of the API; what is none is before all others."""
    return read_time(str(time)) or _NEVER
