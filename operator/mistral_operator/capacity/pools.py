"""Node pools of claims: their name, what is asked of GKE, and whose a pool is. Pure."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from mistral_operator.api.capacity import Consumption
from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.api.names import (
    CLAIM_LABEL,
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
    """Ten hex digits over all that a pool can't change in its life.

    A slice stands in one of its claim's zones, so they are no part of it.
    """
    spec, shape = claim.spec, claim.spec.shape
    zones = () if spec.slice else spec.zones
    topology = (shape.topology or "") if spec.slice else ""
    return _hash_shape(shape.machine_type, _gpu_of(claim), spec.consumption, zones, topology)


def _hash_shape(
    machine_type: str, gpu: Accelerator | None, consumption: Consumption, zones: Iterable[str], topology: str
) -> str:
    devices = (gpu.type, str(gpu.count)) if gpu else ()
    parts = (machine_type, *devices, consumption.value, *sorted(zones), *((topology,) if topology else ()))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:10]


def _gpu_of(claim: NodePoolClaim) -> Accelerator | None:
    """What a pool must name of its accelerators; a TPU has a topology, and comes with its machine type."""
    shape = claim.spec.shape
    return None if shape.topology else Accelerator(type=shape.accelerator.type, count=shape.accelerator.count)


def node_labels(claim: NodePoolClaim) -> dict[str, str]:
    """What the nodes are found by: pods ask for the shape; which of a model's slices a node is in, its claim asks."""
    name = claim.metadata.name
    if claim.spec.slice is None:
        return {SHAPE_LABEL: name}
    return {SHAPE_LABEL: claim.spec.slice.group, CLAIM_LABEL: name}


def node_selector(claim: NodePoolClaim) -> str:
    """A label selector of just the claim's own nodes."""
    key = SHAPE_LABEL if claim.spec.slice is None else CLAIM_LABEL
    return f"{key}={claim.metadata.name}"


def pool_spec(
    claim: NodePoolClaim, *, total_max: int, facts: NodeFacts, cluster_uid: str = "", zone: str = ""
) -> PoolSpec:
    """The pool to create. An unknown cluster's uid is left out.

    An ordinary one is empty and grows on demand up to `total_max` nodes; a multi-host slice is whole, in `zone`. The
    boot disk must hold the weights. They fit into the accelerators' memory, or the model wouldn't have been planned
    here, so that much is enough.
    """
    shape, piece = claim.spec.shape, claim.spec.slice
    name = claim.metadata.name
    return PoolSpec(
        name=pool_name(name),
        machine_type=shape.machine_type,
        gpu=_gpu_of(claim),
        spot=claim.spec.consumption is Consumption.SPOT,
        locations=tuple(sorted(claim.spec.zones)) if piece is None else (zone,),
        bounds=Bounds(total_min=0, total_max=total_max) if piece is None else None,
        node_labels=node_labels(claim),
        resource_labels={
            **claim.spec.resource_labels,
            CLAIM_RESOURCE_LABEL: name,
            TENANT_RESOURCE_LABEL: claim.spec.tenant,
            SHAPE_RESOURCE_LABEL: shape_hash(claim),
            **({CLUSTER_RESOURCE_LABEL: cluster_uid} if cluster_uid else {}),
        },
        boot_disk_gb=SYSTEM_DISK_GB + facts.accelerator_memory_gib,
        slice_topology=(shape.topology or "") if piece else "",
        slice_hosts=(shape.hosts or 1) if piece else 0,
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
    labels, own = pool.resource_labels, pool.node_labels
    if len(pool.accelerators) > 1 or not cluster_uid:
        return False
    gpu = next(iter(pool.accelerators), None)
    consumption = Consumption.SPOT if pool.spot else Consumption.ON_DEMAND
    zones = () if pool.slice_topology else pool.locations
    return (
        pool.name == pool_name(claim_name)
        and labels.get(CLAIM_RESOURCE_LABEL) == own.get(CLAIM_LABEL, own.get(SHAPE_LABEL)) == claim_name
        and labels.get(CLUSTER_RESOURCE_LABEL) == cluster_uid
        and bool(labels.get(TENANT_RESOURCE_LABEL))
        and labels.get(SHAPE_RESOURCE_LABEL)
        == _hash_shape(pool.machine_type, gpu, consumption, zones, pool.slice_topology)
    )


def differences(pool: PoolView, claim: NodePoolClaim) -> tuple[str, ...]:
    """In what a pool of ours isn't what the claim asks for, beyond its size; pods may never land there."""
    here = next(iter(pool.locations), "")
    zone = here if here in claim.spec.zones else next(iter(claim.spec.zones))
    wanted = pool_spec(claim, total_max=1, facts=NodeFacts(), zone=zone)
    compared = (
        ("machine type", pool.machine_type, wanted.machine_type),
        ("accelerators", _words(pool.accelerators), _words((wanted.gpu,) if wanted.gpu else ())),
        ("topology", pool.slice_topology, wanted.slice_topology),
        ("spot", str(pool.spot), str(wanted.spot)),
        ("zones", ", ".join(sorted(pool.locations)), ", ".join(wanted.locations)),
        *((f"node label {key}", pool.node_labels.get(key, ""), value) for key, value in wanted.node_labels.items()),
    )
    return tuple(
        f"{what} is {is_ or 'absent'}, not {should or 'absent'}" for what, is_, should in compared if is_ != should
    )


def _words(accelerators: tuple[Accelerator, ...]) -> str:
    return ", ".join(f"{found.count} × {found.type}" for found in accelerators)
