"""The other slices of a model, from the store and from the cloud's list of pools."""

from typing import Final

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.capacity.claims.slice_upgrades import Sibling, is_behind, turn_of
from mistral_operator.capacity.claims.status import was_ready
from mistral_operator.capacity.pools import pool_name
from mistral_operator.capacity.port import ClusterView, PoolStatus, PoolView
from mistral_operator.capacity.provisioners.cloud import CloudPools
from mistral_operator.cluster.kinds import CLAIM, NODE, POD
from mistral_operator.cluster.store import Store
from mistral_operator.controller.observation import CLAIM_NAME, MODEL_NAME, NODE_NAME
from mistral_operator.status.findings import is_true

_AT_REST: Final = (PoolStatus.RUNNING, PoolStatus.RUNNING_WITH_ERROR)


async def find_siblings(
    store: Store, cloud: CloudPools, claim: NodePoolClaim, pool: PoolView | None, cluster: ClusterView | None
) -> tuple[Sibling, ...]:
    """The model's other slices that aren't on their way out; none are looked for while this one's version is right.

    Raises CloudError.
    """
    if pool is None or cluster is None or not is_behind(pool.version, cluster.version):
        return ()
    metas = store[CLAIM].find_metas(MODEL_NAME, f"{claim.spec.tenant}/{claim.spec.model}")
    others = [meta for meta in metas if meta.key.name != claim.metadata.name and not meta.deleting]
    bodies = [found for meta in others if (found := store[CLAIM].get(meta.key))]
    return tuple([await _look_at(store, cloud, NodePoolClaim.model_validate(found)) for found in bodies])


async def _look_at(store: Store, cloud: CloudPools, claim: NodePoolClaim) -> Sibling:
    name = claim.metadata.name
    pool = await cloud.find(pool_name(name))
    busy = pool is not None and pool.status not in _AT_REST
    return Sibling(
        name=name,
        turn=turn_of(claim),
        version=pool.version if pool else "",
        at_work=busy or bool(claim.status.get("operation")) or cloud.is_at_work(pool_name(name)),
        ready=pool is not None and was_ready(claim),
        serves=_serves(store, claim),
    )


def _serves(store: Store, claim: NodePoolClaim) -> bool:
    """Whether a ready pod is on each of the slice's nodes, and all of them are there."""
    nodes = store[NODE].find_metas(CLAIM_NAME, claim.metadata.name)
    return len(nodes) == claim.spec.shape.hosts and all(_has_ready_pod(store, meta.key.name) for meta in nodes)


def _has_ready_pod(store: Store, node: str) -> bool:
    pods = store[POD].find(NODE_NAME, node)
    return any(is_true(pod, "Ready") and "deletionTimestamp" not in pod["metadata"] for pod in pods)
