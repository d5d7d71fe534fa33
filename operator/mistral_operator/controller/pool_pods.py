"""Which pods would lose their place with a node pool: asked of the API server, when a pool is to be replaced."""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from mistral_operator.cluster.apply import controller_of
from mistral_operator.cluster.client import ListResult
from mistral_operator.cluster.kinds import NODE, POD, Kind

NODE_POOL_LABEL: Final = "cloud.google.com/gke-nodepool"
"""GKE's own label of each node, which nobody can change."""
_MIRROR: Final = "kubernetes.io/config.mirror"
"""Of pods that a node runs of its own files."""
_ENDED: Final = frozenset({"Succeeded", "Failed"})


class Lists(Protocol):
    """What is needed of `cluster.client.ApiClient`."""

    async def list(
        self, kind: Kind, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> ListResult:
        """Objects of a kind as they are now."""
        ...


async def count_pods(client: Lists, pool: str) -> int:
    """Pods of anybody on the pool's nodes, but for those that every node has: of DaemonSets, and of the node's own.

    Raises ApiError.
    """
    nodes = await client.list(NODE, label_selector=f"{NODE_POOL_LABEL}={pool}")
    names = [node["metadata"]["name"] for node in nodes.items]
    lists = [await client.list(POD, field_selector=f"spec.nodeName={name}") for name in names]
    return sum(_counts(pod) for found in lists for pod in found.items)


def _counts(pod: Mapping[str, Any]) -> bool:
    ended = (pod.get("status") or {}).get("phase") in _ENDED
    of_node = _MIRROR in (pod["metadata"].get("annotations") or {})
    return not ended and not of_node and controller_of(pod).get("kind") != "DaemonSet"
