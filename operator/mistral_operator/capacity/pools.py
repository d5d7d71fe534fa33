"""Node pools of claims: their name, what is asked of GKE, and whose a pool is. Pure."""

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from mistral_operator.api.capacity import Consumption
from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.api.names import (
    CLAIM_RESOURCE_LABEL,
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
    parts = (
        shape.machine_type,
        shape.accelerator.type,
        str(shape.accelerator.count),
        claim.spec.consumption.value,
        *sorted(claim.spec.zones),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:10]


def pool_spec(claim: NodePoolClaim, *, total_max: int, facts: NodeFacts) -> PoolSpec:
    """The pool to create: empty, growing on demand up to `total_max` nodes.

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
        },
        boot_disk_gb=SYSTEM_DISK_GB + facts.accelerator_memory_gib,
    )


def is_own(pool: PoolView, claim: NodePoolClaim) -> bool:
    """True when the pool was made for this claim, be it by an earlier life of it or of the operator.

    Only the labels count: uids change when objects are restored from a backup, and a name alone proves nothing.
    """
    return pool.resource_labels.get(CLAIM_RESOURCE_LABEL) == claim.metadata.name


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
