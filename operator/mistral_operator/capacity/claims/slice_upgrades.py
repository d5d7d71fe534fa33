"""Who upgrades the nodes of slices, and what has to be known of a model's other slices for it. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.capacity.advice import ClusterPlace
from mistral_operator.capacity.port import ClusterView, UpgradeHold
from mistral_operator.planning.hardware import read_version


class SliceUpgrades(StrEnum):
    """Who upgrades the node pools of multi-host slices."""

    ONE_BY_ONE = "OneByOne"
    """The operator, one slice of a model after the other; GKE doesn't."""
    MANUAL = "Manual"
    """People; GKE doesn't, and the operator tells what is behind."""
    BY_GKE = "ByGKE"
    """GKE, as any other pool."""


@dataclass(frozen=True, slots=True)
class Sibling:
    """Another slice of the same model, as it was last seen."""

    name: str
    """Of its claim."""
    turn: tuple[str, int]
    """Group and number: the lowest is upgraded first."""
    version: str
    """GKE version of its nodes; empty when there are none."""
    at_work: bool
    """Whether GKE works on its pool, whoever asked for it, or may do so in a moment."""
    ready: bool
    """Whether its claim is."""
    serves: bool
    """Whether pods are ready on all of its nodes."""


def choose_hold(claim: NodePoolClaim, cluster: ClusterView | None, upgrades: SliceUpgrades) -> UpgradeHold | None:
    """What should keep GKE from upgrading the claim's pool; None where that isn't known.

    In a release channel GKE refuses to switch automatic upgrades off, and takes an exclusion instead.
    """
    if claim.spec.slice is None or upgrades is SliceUpgrades.BY_GKE:
        return UpgradeHold.NONE
    if cluster is None:
        return None
    return UpgradeHold.EXCLUSION if cluster.release_channel else UpgradeHold.SWITCHED_OFF


def turn_of(claim: NodePoolClaim) -> tuple[str, int]:
    """When a slice has its turn among those of its model."""
    piece = claim.spec.slice
    return (piece.group, piece.number) if piece else (claim.metadata.name, 0)


def is_behind(version: str, control_plane: str) -> bool:
    """Whether nodes have an older version; what can't be read is never behind."""
    has, target = read_version(version), read_version(control_plane)
    return bool(has) and has < target


def upgrade_command(pool: str, version: str, place: ClusterPlace) -> str:
    """Upgrades a pool's nodes; its syntax is gcloud's as its reference has it."""
    return (
        f"gcloud container clusters upgrade {place.cluster} --node-pool {pool} --cluster-version {version}"
        f" --location {place.location} --project {place.project}"
    )
