"""Node pools of claims: their name, what is asked of GKE, and whose a pool is. Pure."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from mistral_operator.api.capacity import Consumption
from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.api.names import (
    CLAIM_RESOURCE_LABEL,
    CLUSTER_RESOURCE_LABEL,
    SHAPE_LABEL,
    SHAPE_RESOURCE_LABEL,
    TENANT_RESOURCE_LABEL,
)
from mistral_operator.capacity.port import Accelerator, Bounds, PoolSpec, PoolView

POOL_PREFIX: Final = "mm-"
SUPPORTED_CONSUMPTION: Final = (Consumption.ON_DEMAND, Consumption.SPOT)

SYSTEM_DISK_GB: Final = 200
"""For the node's system, the engine's image (about 20 GB) and what GKE keeps free of a disk (up to 100 GiB)."""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What the catalogue knows about one node of a claim's shape."""

    hourly_price: Decimal | None = None
    """US dollars an hour; None when no price is known."""
    accelerator_memory_gib: int = 0
    """Of all devices of the node together."""


def pool_name(claim_name: str) -> str:
    """The name in GKE; at most 40 characters, because a claim's name has at most 37."""
    return POOL_PREFIX + claim_name


def shape_hash(claim: NodePoolClaim) -> str:
    """Ten hex digits over all that a pool can't change in its life."""
    shape = claim.spec.shape
    accelerator = Accelerator(type=shape.accelerator.type, count=shape.accelerator.count)
    return _hash_shape(shape.machine_type, accelerator, claim.spec.consumption, claim.spec.zones)


def _hash_shape(machine_type: str, accelerator: Accelerator, consumption: Consumption, zones: Iterable[str]) -> str:
    parts = (machine_type, accelerator.type, str(accelerator.count), consumption.value, *sorted(zones))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:10]


def pool_spec(claim: NodePoolClaim, *, total_max: int, facts: NodeFacts, cluster_uid: str = "") -> PoolSpec:
    """The pool to create: empty, growing on demand up to `total_max` nodes. An unknown cluster's uid is left out.

    The boot disk must hold the weights. They fit into the accelerators' memory, or the model wouldn't have been
    planned here, so that much is enough.
    """
    shape = claim.spec.shape
    name = claim.metadata.name
    return PoolSpec(
        name=pool_name(name),
        machine_type=shape.machine_type,
        accelerator=Accelerator(type=shape.accelerator.type, count=shape.accelerator.count),
        spot=claim.spec.consumption is Consumption.SPOT,
        locations=tuple(sorted(claim.spec.zones)),
        bounds=Bounds(total_min=0, total_max=total_max),
        node_labels={SHAPE_LABEL: name},
        resource_labels={
            **claim.spec.resource_labels,
            CLAIM_RESOURCE_LABEL: name,
            TENANT_RESOURCE_LABEL: claim.spec.tenant,
            SHAPE_RESOURCE_LABEL: shape_hash(claim),
            **({CLUSTER_RESOURCE_LABEL: cluster_uid} if cluster_uid else {}),
        },
        boot_disk_gb=SYSTEM_DISK_GB + facts.accelerator_memory_gib,
    )


def is_own(pool: PoolView, claim: NodePoolClaim) -> bool:
    """True when the pool was made for this claim, be it by an earlier life of it or of the operator.

    Only the labels count: uids change when objects are restored from a backup, and a name alone proves nothing.
    """
    return pool.resource_labels.get(CLAIM_RESOURCE_LABEL) == claim.metadata.name


def is_surely_own(pool: PoolView, claim_name: str, cluster_uid: str) -> bool:
    """True when the pool's own labels prove that this cluster's operator made it for a claim that nobody has any more.

    More than `is_own`, which has the claim to compare with: an operator that was told a wrong cluster's name sees pools
    that another one's claims need.
    """
    labels = pool.resource_labels
    if len(pool.accelerators) != 1 or not cluster_uid:
        return False
    consumption = Consumption.SPOT if pool.spot else Consumption.ON_DEMAND
    return (
        pool.name == pool_name(claim_name)
        and labels.get(CLAIM_RESOURCE_LABEL) == pool.node_labels.get(SHAPE_LABEL) == claim_name
        and labels.get(CLUSTER_RESOURCE_LABEL) == cluster_uid
        and bool(labels.get(TENANT_RESOURCE_LABEL))
        and labels.get(SHAPE_RESOURCE_LABEL)
        == _hash_shape(pool.machine_type, pool.accelerators[0], consumption, pool.locations)
    )


def differences(pool: PoolView, claim: NodePoolClaim) -> tuple[str, ...]:
    """In what a pool of ours isn't what the claim asks for, beyond its size; pods may never land there."""
    wanted = pool_spec(claim, total_max=1, facts=NodeFacts())
    compared = (
        ("machine type", pool.machine_type, wanted.machine_type),
        ("accelerators", _words(pool.accelerators), _words((wanted.accelerator,))),
        ("spot", str(pool.spot), str(wanted.spot)),
        ("zones", ", ".join(sorted(pool.locations)), ", ".join(wanted.locations)),
        (f"node label {SHAPE_LABEL}", pool.node_labels.get(SHAPE_LABEL, ""), claim.metadata.name),
    )
    return tuple(f"{what} is {is_ or 'absent'}, not {should}" for what, is_, should in compared if is_ != should)


def _words(accelerators: tuple[Accelerator, ...]) -> str:
    return ", ".join(f"{found.count} × {found.type}" for found in accelerators)
