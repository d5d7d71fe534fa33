"""Which pods are a model's own: those of an earlier model with its name carry the same label until they are gone."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from mistral_operator.api.model import MistralModel
from mistral_operator.api.names import REVISION_LABEL

_Object = Mapping[str, Any]
_CLOCK_SKEW: Final = timedelta(seconds=5)
"""By which the clocks of several API servers may differ; a replica takes longer to be ready."""


def find_own_pods(
    model: MistralModel, pods: Sequence[_Object], revisions: Collection[str], workloads: Iterable[_Object]
) -> tuple[_Object, ...]:
    """The pods of one of these revisions (hashes) that came after the model or after one of its workloads.

    A namesake with the same spec had the same revision, so that alone doesn't tell its pods apart. And a workload that
    was kept when its model was deleted (`--cascade=orphan`) is older than the model that has taken it over.
    """
    births = (model.metadata.creation_timestamp, *map(_created, workloads))
    first = min((_parse(born) for born in births if born), default=None)
    return tuple(pod for pod in pods if _revision(pod) in revisions and _is_since(first, pod))


def _is_since(first: datetime | None, pod: _Object) -> bool:
    created = _created(pod)
    return first is None or not created or _parse(created) >= first - _CLOCK_SKEW


def _revision(pod: _Object) -> str:
    return str((pod["metadata"].get("labels") or {}).get(REVISION_LABEL, ""))


def _created(item: _Object) -> str:
    return str(item["metadata"].get("creationTimestamp") or "")


def _parse(text: str) -> datetime:
    """RFC 3339 in whole seconds, as the API server writes it."""
    return datetime.fromisoformat(text)
