"""The pods that rendered manifests lead to."""

from collections.abc import Iterable, Iterator
from typing import Any


def find_pod_templates(manifests: Iterable[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kind of the object and each pod template in it; of a LeaderWorkerSet the leader's first."""
    for item in manifests:
        if item["kind"] == "LeaderWorkerSet":
            inner = item["spec"]["leaderWorkerTemplate"]
            yield from ((item["kind"], inner[name]) for name in ("leaderTemplate", "workerTemplate"))
        elif item["kind"] in ("Deployment", "Job"):
            yield item["kind"], item["spec"]["template"]
