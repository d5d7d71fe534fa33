"""Node pools of claims: their name, what is asked of GKE, and whose a pool is. Pure."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from mistral_operator.api.capacity import Consumption, Provisioner
from mistral_operator.api.claim import ClaimAlternative, NodePoolClaim, NodePoolClaimSpec
from mistral_operator.api.names import (
    CLAIM_LABEL,
    CLAIM_RESOURCE_LABEL,
    CLUSTER_RESOURCE_LABEL,
    POOL_PREFIX,
    PROVISIONER_RESOURCE_LABEL,
    SHAPE_LABEL,
    SHAPE_RESOURCE_LABEL,
    TENANT_RESOURCE_LABEL,
)
from mistral_operator.capacity.advice import ClusterPlace
from mistral_operator.capacity.port import (
    MAX_PODS_PER_NODE,
    Accelerator,
    Bounds,
    PoolSpec,
    PoolView,
    Purchase,
    UpgradeHold,
    Upkeep,
)
from mistral_operator.capacity.purchases import (
    is_class,
    max_run_s,
    purchases_of,
    ways_of,
    word_purchase,
    word_purchases,
)
from mistral_operator.catalogue.accelerator import USUAL_BOOT_DISK

_DAEMONS: Final = 16
"""Pods of GKE's own that a node may have beside the engines; an estimate with room to spare."""
_MOST_PODS: Final = 256
"""GKE allows no more on a node."""
SYSTEM_DISK_GB: Final = 200
"""For the node's system, the engine's image (about 20 GB) and what GKE keeps free of a disk (up to 100 GiB)."""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What the catalogue knows about one node of a claim's shape."""

    hourly_price: Decimal | None = None
    """US dollars an hour; None when no price is known."""
    accelerator_memory_gib: int = 0
    """Of all devices of the node together."""
    boot_disk: str = USUAL_BOOT_DISK
    """Kind of boot disk that the node takes."""
    local_ssds: int = 0
    """Local disks that the node comes with."""
    further_prices: tuple[Decimal | None, ...] = ()
    """US dollars an hour of one node that is bought in each of the claim's alternatives."""
    replicas: int = 1
    """Replicas that the node holds; more than one only where they share its GPUs."""


def pool_name(claim_name: str) -> str:
    """The name in GKE; at most 40 characters, because a claim's name has at most 37."""
    return POOL_PREFIX + claim_name


def name_pool(claim: NodePoolClaim) -> str:
    """What the claim asks for, by kind and name."""
    kind = "ComputeClass" if is_class(claim) else "node pool"
    return f"{kind} {pool_name(claim.metadata.name)}"


def command_to_delete(claim: NodePoolClaim, place: ClusterPlace) -> str:
    """How a person deletes what is there under the claim's name."""
    name = pool_name(claim.metadata.name)
    if is_class(claim):
        return f"kubectl delete computeclass {name}"
    return (
        f"gcloud container node-pools delete {name} --cluster {place.cluster} --location {place.location}"
        f" --project {place.project}"
    )


def shape_hash(claim: NodePoolClaim) -> str:
    """Ten hex digits over all that a pool can't change in its life.

    A slice stands in one of its claim's zones, so they are no part of it.
    """
    spec, shape = claim.spec, claim.spec.shape
    if is_class(claim):
        return _hash_class(shape.machine_type, _device_of(claim), purchases_of(claim))
    zones = () if spec.slice else spec.zones
    topology = (shape.topology or "") if spec.slice else ""
    terms = _terms_of(spec.consumption, spec.reservation or "", max_run_s(claim.spec))
    return _hash_shape(shape.machine_type, _gpu_of(claim), terms, zones, (topology, spec.image_cache or ""))


def _terms_of(consumption: Consumption, reservation: str, max_run_s: int) -> tuple[str, ...]:
    """How the nodes are bought, as words."""
    run = (str(max_run_s),) if consumption is Consumption.FLEX_START else ()
    return (consumption.value, *((reservation,) if reservation else ()), *run)


def _hash_shape(
    machine_type: str, gpu: Accelerator | None, terms: Iterable[str], zones: Iterable[str], others: Iterable[str]
) -> str:
    """`others` are what few pools have, empty where they don't: topology and image cache."""
    devices = (gpu.type, str(gpu.count)) if gpu else ()
    sharing = (gpu.partition or f"{gpu.clients} clients",) if gpu and (gpu.partition or gpu.clients) else ()
    parts = (machine_type, *devices, *sharing, *terms, *sorted(zones), *filter(None, others))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:10]


def _hash_class(machine_type: str, device: Accelerator | None, purchases: Iterable[Purchase]) -> str:
    """Of a ComputeClass, where the order of its purchases counts."""
    return _hash_shape(machine_type, device, map(word_purchase, purchases), (), ())


def _device_of(claim: NodePoolClaim) -> Accelerator:
    """Accelerators of one node, and how they are shared."""
    shape = claim.spec.shape
    sharing = shape.sharing
    return Accelerator(
        type=shape.accelerator.type,
        count=shape.accelerator.count,
        partition=(sharing.partition or "") if sharing else "",
        clients=(sharing.clients or 0) if sharing else 0,
    )


def _gpu_of(claim: NodePoolClaim) -> Accelerator | None:
    """What a pool must name of its accelerators; a TPU has a topology, and comes with its machine type."""
    return None if claim.spec.shape.topology else _device_of(claim)


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
    claim: NodePoolClaim,
    *,
    total_max: int,
    facts: NodeFacts,
    cluster_uid: str = "",
    zone: str = "",
    hold: UpgradeHold = UpgradeHold.NONE,
) -> PoolSpec:
    """The pool to create. An unknown cluster's uid is left out.

    An ordinary one is empty and grows on demand up to `total_max` nodes; a multi-host slice is whole, in `zone`. The
    boot disk must hold the weights, unless local disks do. They fit into the accelerators' memory, or the model
    wouldn't have been planned here, so that much is enough.
    """
    shape, piece = claim.spec.shape, claim.spec.slice
    name = claim.metadata.name
    return PoolSpec(
        name=pool_name(name),
        machine_type=shape.machine_type,
        gpu=_gpu_of(claim),
        spot=claim.spec.consumption is Consumption.SPOT,
        locations=tuple(sorted(claim.spec.zones)) if piece is None else (zone,),
        bounds=Bounds(total_min=0, total_max=total_max) if is_bounded(claim) else None,
        node_labels=node_labels(claim),
        resource_labels={
            **claim.spec.resource_labels,
            CLAIM_RESOURCE_LABEL: name,
            TENANT_RESOURCE_LABEL: claim.spec.tenant,
            SHAPE_RESOURCE_LABEL: shape_hash(claim),
            **({CLUSTER_RESOURCE_LABEL: cluster_uid} if cluster_uid else {}),
        },
        boot_disk_gb=SYSTEM_DISK_GB + (0 if facts.local_ssds else facts.accelerator_memory_gib),
        slice_topology=(shape.topology or "") if piece else "",
        slice_hosts=(shape.hosts or 1) if piece else 0,
        reservation=claim.spec.reservation or "",
        max_run_s=max_run_s(claim.spec),
        boot_disk=facts.boot_disk,
        local_ssds=facts.local_ssds,
        tpu=_device_of(claim) if shape.topology else None,
        topology=shape.topology or "",
        purchases=purchases_of(claim) if is_class(claim) else (),
        placement_policy=pool_name(name) if claim.spec.placement else "",
        image_cache=claim.spec.image_cache or "",
        max_pods=max(MAX_PODS_PER_NODE, min(_MOST_PODS, facts.replicas + _DAEMONS)),
        hold=hold,
    )


def is_bounded(claim: NodePoolClaim) -> bool:
    """Whether the claim's pool has bounds that follow its users: a slice has one size, and a ComputeClass none."""
    return claim.spec.slice is None and not is_class(claim)


def upkeep_of(spec: PoolSpec) -> Upkeep:
    """How a pool is to be kept.

    A node with accelerators takes minutes to come: in an upgrade the new one is made before the old one goes, where
    there can be one more. A slice has no place for it and a full reservation no machine. A flex-start node is neither
    repaired nor upgraded: it ends, and its successor has the new version.
    """
    if spec.max_run_s:
        return Upkeep(auto_repair=False, auto_upgrade=True, strategy="SHORT_LIVED")
    fixed = bool(spec.slice_topology or spec.reservation)
    surge, away = (0, 1) if fixed else (1, 0)
    return Upkeep(
        auto_repair=True,
        auto_upgrade=spec.hold is not UpgradeHold.SWITCHED_OFF,
        strategy="SURGE",
        max_surge=surge,
        max_unavailable=away,
        excluded=spec.hold is UpgradeHold.EXCLUSION,
    )


def find_flaw(claim: NodePoolClaim) -> str:
    """Why there can be no such pool, for a claim that somebody wrote by hand; empty for any that a plan makes."""
    spec = claim.spec
    if spec.alternatives and not is_class(claim):
        return "spec.alternatives are for a ComputeClass; write spec.provisioner: ComputeClass, or remove them."
    if is_class(claim) and (spec.slice is not None or spec.shape.hosts):
        return "spec.slice: a ComputeClass makes single nodes, no slices; write spec.provisioner: ContainerAPI."
    if not spec.zones or not spec.shape.machine_type:
        return "spec.zones and spec.shape.machineType say where nodes are made, and which; write both."
    if spec.consumption is Consumption.FLEX_START and spec.provisioner is Provisioner.CONFIG_CONNECTOR:
        return "spec.consumption: FlexStart has no field in a ContainerNodePool; write provisioner: ContainerAPI."
    if spec.placement and (spec.slice is None or not spec.shape.topology):
        return (
            "spec.placement: WorkloadPolicy places a slice; write spec.slice and spec.shape.topology, or leave it out."
        )
    if spec.image_cache and spec.provisioner not in (None, Provisioner.CONTAINER_API):
        return f"spec.imageCache is for node pools of ContainerAPI, not of {spec.provisioner.value}; leave it out."
    return next((flaw for way in ways_of(claim) if (flaw := _find_flaw_of_way(claim, way))), "")


def _find_flaw_of_way(claim: NodePoolClaim, spec: NodePoolClaimSpec | ClaimAlternative) -> str:
    if spec.consumption is Consumption.FLEX_START and claim.spec.slice is not None:
        return "spec.consumption: FlexStart brings nodes one by one, and a slice is whole or not there; write Spot."
    if spec.consumption is Consumption.RESERVATION and not spec.reservation:
        return "spec.consumption: Reservation needs a name; write spec.reservation."
    if spec.consumption is not Consumption.RESERVATION and spec.reservation:
        return f"spec.reservation has no meaning with consumption: {spec.consumption.value}; write Reservation."
    return ""


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
    if len(pool.accelerators) > 1 or not cluster_uid or PROVISIONER_RESOURCE_LABEL in labels:
        return False
    return (
        pool.name == pool_name(claim_name)
        and labels.get(CLAIM_RESOURCE_LABEL) == own.get(CLAIM_LABEL, own.get(SHAPE_LABEL)) == claim_name
        and labels.get(CLUSTER_RESOURCE_LABEL) == cluster_uid
        and bool(labels.get(TENANT_RESOURCE_LABEL))
        and labels.get(SHAPE_RESOURCE_LABEL) == _shape_hash_of(pool)
    )


def _shape_hash_of(pool: PoolView) -> str:
    """What `shape_hash` gives for the claim of a pool that is as it was made."""
    device = next(iter(pool.accelerators), None)
    if pool.purchases:
        return _hash_class(pool.machine_type, device, pool.purchases)
    zones = () if pool.slice_topology else pool.locations
    terms = _terms_of(consumption_of(pool), pool.reservation, pool.max_run_s)
    return _hash_shape(pool.machine_type, device, terms, zones, (pool.slice_topology, pool.image_cache))


def consumption_of(pool: PoolView) -> Consumption:
    """How the pool's machines are bought."""
    if pool.spot:
        return Consumption.SPOT
    if pool.flex_start:
        return Consumption.FLEX_START
    return Consumption.RESERVATION if pool.reservation else Consumption.ON_DEMAND


def wanted_beside(
    pool: PoolView, claim: NodePoolClaim, cluster_uid: str = "", hold: UpgradeHold = UpgradeHold.NONE
) -> PoolSpec:
    """What a pool of ours should be, but for its size and what the catalogue says of its disks."""
    here = next(iter(pool.locations), "")
    zone = here if here in claim.spec.zones else next(iter(claim.spec.zones))
    return pool_spec(claim, total_max=1, facts=NodeFacts(), cluster_uid=cluster_uid, zone=zone, hold=hold)


def differences(pool: PoolView, claim: NodePoolClaim) -> tuple[str, ...]:
    """In what a pool of ours isn't what the claim asks for, of all that can't be changed in its life."""
    wanted = wanted_beside(pool, claim)
    gpus = (wanted.gpu,) if wanted.gpu else ()
    compared = (
        ("machine type", pool.machine_type, wanted.machine_type),
        ("accelerators", _words(pool.accelerators), _words((_device_of(claim),) if is_class(claim) else gpus)),
        ("priorities", word_purchases(pool.purchases), word_purchases(wanted.purchases)),
        ("topology", pool.slice_topology, wanted.slice_topology),
        ("workload policy", pool.placement_policy, wanted.placement_policy),
        ("spot", str(pool.spot), str(wanted.spot)),
        ("flex-start", str(pool.flex_start), str(bool(wanted.max_run_s))),
        ("maximum run duration", _seconds(pool.max_run_s), _seconds(wanted.max_run_s)),
        ("reservation", pool.reservation, wanted.reservation),
        ("image cache", pool.image_cache, wanted.image_cache),
        ("zones", ", ".join(sorted(pool.locations)), ", ".join(wanted.locations)),
    )
    return compare(compared)


def compare(values: Iterable[tuple[str, str, str]]) -> tuple[str, ...]:
    """What isn't as it should be, in words: of each value its name, what it is and what it should be."""
    return tuple(
        f"{what} is {is_ or 'absent'}, not {should or 'absent'}" for what, is_, should in values if is_ != should
    )


def _seconds(duration_s: int) -> str:
    return f"{duration_s} s" if duration_s else ""


def _words(accelerators: tuple[Accelerator, ...]) -> str:
    return ", ".join(f"{found.count} × {found.type}{_part_words(found)}" for found in accelerators)


def _part_words(accelerator: Accelerator) -> str:
    if accelerator.partition:
        return f" in partitions of {accelerator.partition}"
    return f" shared by {accelerator.clients}" if accelerator.clients else ""
