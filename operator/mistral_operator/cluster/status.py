"""Writes statuses, also where the cluster's definitions are older than the operator that writes."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from mistral_operator.cluster.errors import UPGRADE, Undeclared

Json = dict[str, Any]
FieldPath = tuple[str, ...]

_BELIEVED_S: Final = 600.0
"""How long a definition is taken for what it was: somebody is likely to be upgrading it."""

log = logging.getLogger(__name__)


class StatusClient(Protocol):
    """What the writer needs of `cluster.client.ApiClient`."""

    async def apply_status(self, manifest: Mapping[str, Any]) -> Json:
        """Server-side apply of the whole status."""
        ...


class StatusWriter:
    """Writes statuses that differ, without the fields that the cluster's definitions do not declare.

    One field that the API server doesn't know would make it refuse the whole status, and the user would read nothing.
    """

    def __init__(self, client: StatusClient, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock_s = clock_s
        self._undeclared: dict[str, set[FieldPath]] = {}
        """Kind → the fields that its definition lacks."""
        self._learnt_s: dict[str, float] = {}
        self._warned: set[tuple[str, FieldPath]] = set()

    async def write_if_needed(self, body: Mapping[str, Any], status: Mapping[str, Any]) -> Json | None:
        """Gives that very object the whole status; answers it as it was written, or None if it had that already.

        Raises ApiError: NotFound if the object is gone, Conflict if another one has its name now.
        """
        kind = body["kind"]
        if self._clock_s() - self._learnt_s.get(kind, 0.0) > _BELIEVED_S:
            self._undeclared.pop(kind, None)
        while True:
            wanted = without_fields(status, self._undeclared.get(kind, set()))
            if body.get("status") == wanted:
                return None
            try:
                return await self._client.apply_status(_manifest(body, wanted))
            except Undeclared as error:
                lacking = {path[1:] for path in error.fields if path[:1] == ("status",) and len(path) > 1}
                if without_fields(wanted, lacking) == wanted:
                    raise
                self._learn(kind, lacking)

    def _learn(self, kind: str, lacking: set[FieldPath]) -> None:
        self._undeclared.setdefault(kind, set()).update(lacking)
        self._learnt_s[kind] = self._clock_s()
        for path in sorted(lacking):
            if (kind, path) not in self._warned:
                self._warned.add((kind, path))
                log.warning(
                    "The definition of %s in this cluster is older than this operator: it does not declare status.%s, "
                    "which is left out. %s",
                    kind,
                    ".".join(path),
                    UPGRADE,
                )


def without_fields(value: Any, paths: set[FieldPath]) -> Any:
    """The value without the fields at these paths; a path leads through all elements of a list."""
    if not paths:
        return value
    if isinstance(value, list):
        return [without_fields(element, paths) for element in value]
    if not isinstance(value, Mapping):
        return value
    return {
        name: without_fields(inner, {path[1:] for path in paths if path[0] == name and len(path) > 1})
        for name, inner in value.items()
        if (name,) not in paths
    }


def _manifest(body: Mapping[str, Any], status: Any) -> Json:
    """With the uid, so that a namesake made since never gets it."""
    metadata = body["metadata"]
    return {
        "apiVersion": body["apiVersion"],
        "kind": body["kind"],
        "metadata": {name: metadata[name] for name in ("name", "namespace", "uid") if name in metadata},
        "status": status,
    }
