"""What the API server's audit log says about writes: who, what, when. Reading it costs the API server nothing."""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.support.polling import eventually

READS = (b'"verb":"get"', b'"verb":"list"', b'"verb":"watch"')
HEARTBEATS = frozenset({"leases", "nodes"})
CHILD_KINDS = frozenset({"controllerrevisions", "services", "deployments", "poddisruptionbudgets"})
"""What every model of the benchmark has. Its claim isn't in the list: the operator applies it before the Deployment."""


@dataclass(frozen=True, slots=True)
class Write:
    """A request that would change something; times are seconds since the epoch by the API server's clock."""

    user: str
    verb: str
    resource: str
    namespace: str
    name: str
    code: int
    received_at: float
    done_at: float

    @property
    def created(self) -> bool:
        """True if the object came into being by this request."""
        return self.code == 201


class Journal:
    """All writes since the control plane started; `read` takes in those that have been added."""

    def __init__(self, path: Path) -> None:
        self.writes: list[Write] = []
        self._file = path.open("rb")
        self._rest = b""

    def close(self) -> None:
        self._file.close()

    def read(self) -> list[Write]:
        """The writes that came since the last call."""
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        news = [_parse(json.loads(line)) for line in lines if not any(verb in line for verb in READS)]
        self.writes += news
        return news

    def by(self, user: str, since: float = 0.0) -> list[Write]:
        """Writes of one service account (`namespace:name`) that arrived after `since`."""
        self.read()
        return [w for w in self.writes if w.user == f"system:serviceaccount:{user}" and w.received_at >= since]

    async def quiet(self, seconds: float, timeout_s: float = 180) -> None:
        """Return when nobody has written for that long; Leases and the simulated nodes' heartbeats don't count."""

        def silent() -> bool:
            self.read()
            last = max((w.done_at for w in self.writes if w.resource not in HEARTBEATS), default=0.0)
            return time.time() - last >= seconds

        await eventually(silent, timeout_s, "nobody writes any more", interval_s=0.25)


def completions(writes: Iterable[Write]) -> dict[tuple[str, str], float]:
    """Model (namespace, name) → when the last of its children was there; only models that have them all."""
    kinds: dict[tuple[str, str], dict[str, float]] = {}
    for write in writes:
        if write.created and write.resource in CHILD_KINDS:
            model = write.name.rpartition("-")[0] if write.resource == "controllerrevisions" else write.name
            kinds.setdefault((write.namespace, model), {})[write.resource] = write.done_at
    return {model: max(done.values()) for model, done in kinds.items() if done.keys() == CHILD_KINDS}


def _parse(event: dict[str, Any]) -> Write:
    about = event.get("objectRef") or {}
    return Write(
        user=event["user"]["username"],
        verb=event["verb"],
        resource=about.get("resource", ""),
        namespace=about.get("namespace", ""),
        name=about.get("name", ""),
        code=(event.get("responseStatus") or {}).get("code", 0),
        received_at=datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp(),
        done_at=datetime.fromisoformat(event["stageTimestamp"]).timestamp(),
    )
