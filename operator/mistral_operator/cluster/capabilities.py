"""Which APIs the cluster serves, as far as the operator's choices depend on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mistral_operator.cluster.client import ApiClient

CUSTOM_METRICS: Final = "custom.metrics.k8s.io"
LEADER_WORKER_SET: Final = ("leaderworkerset.x-k8s.io", "v1")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The API groups that were served when the server was last asked."""

    groups: Mapping[str, tuple[str, ...]]
    """API group → its versions, the preferred one first."""

    def has(self, group: str, version: str = "") -> bool:
        """Whether the group is served, in that version if one is given."""
        versions = self.groups.get(group)
        return versions is not None and (not version or version in versions)

    @property
    def custom_metrics(self) -> bool:
        """Whether a HorizontalPodAutoscaler can read the engines' metrics."""
        return self.has(CUSTOM_METRICS)

    @property
    def leader_worker_set(self) -> bool:
        """Whether a replica can run on several machines."""
        return self.has(*LEADER_WORKER_SET)


async def discover(client: ApiClient) -> Capabilities:
    """Asks the API server. Raises ApiError when it doesn't answer: unknown is not the same as absent."""
    answer = await client.read("/apis")
    return Capabilities({group["name"]: _versions(group) for group in answer.get("groups") or ()})


def _versions(group: Mapping[str, object]) -> tuple[str, ...]:
    preferred = group.get("preferredVersion")
    served = group.get("versions")
    first = [preferred["version"]] if isinstance(preferred, dict) else []
    rest = [item["version"] for item in served if item["version"] not in first] if isinstance(served, list) else []
    return (*first, *rest)
