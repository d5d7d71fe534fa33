"""The policy of a claim whose slice has an older version than the control plane. Pure.

No two slices of one model are upgraded at once, and none while it would leave nobody to answer: a slice goes when all
others of its model serve. It has its turn by its number, so that whoever looks comes to the same answer.
"""

from collections.abc import Iterable

from mistral_operator.capacity.claims.case import Case, ask, describe_pool
from mistral_operator.capacity.claims.slice_upgrades import Sibling, SliceUpgrades, is_behind, turn_of, upgrade_command
from mistral_operator.capacity.claims.types import Call, ClaimState, Decision, MendPool
from mistral_operator.capacity.port import ClusterView, MaintenanceExclusion, PoolStatus, SetVersion, UpgradeHold
from mistral_operator.planning.hardware import read_version


def follow_version(case: Case) -> Decision | None:
    """Upgrade the slice when it has its turn, else tell what it waits for; None when its version is right."""
    cluster = case.seen.cluster
    if cluster is None or case.hold in (None, UpgradeHold.NONE) or case.pool.status is not PoolStatus.RUNNING:
        return None
    if case.deleting or not is_behind(case.pool.version, cluster.version):
        return None
    if why := _find_veto(case, cluster):
        return _tell_outdated(case, cluster, why)
    if awaited := _find_awaited(case, cluster):
        words = f"{_describe(case, cluster)} It is upgraded when its turn comes: {awaited}."
        wait_s = case.settings.unsettled_s
        return Decision(ClaimState.READY, "WaitsForSibling", words, ready=True, requeue_after_s=wait_s)
    words = f"Slice {case.pool_name} is about to be upgraded from {case.pool.version} to {cluster.version}."
    action = MendPool(case.pool_name, SetVersion(cluster.version))
    return ask(case, Call.UPGRADE, action, ClaimState.UPGRADING, "SliceUpgrading", words, ready=True)


def _find_veto(case: Case, cluster: ClusterView) -> str:
    """Why the operator doesn't upgrade this slice whatever the others do; empty when it does."""
    if case.settings.slice_upgrades is SliceUpgrades.MANUAL:
        return "the operator was told to leave that to you"
    if held := next((each.name for each in cluster.exclusions if _holds(each, case, cluster)), ""):
        return f"the cluster's maintenance exclusion {held} holds"
    if cluster.has_window:
        return "the cluster has a maintenance window, which the operator can't keep to"
    if not case.seen.siblings:
        return "no other slice of the model would answer meanwhile"
    return ""


def _holds(exclusion: MaintenanceExclusion, case: Case, cluster: ClusterView) -> bool:
    """Whether it forbids this upgrade now."""
    begun = exclusion.starts_at is None or exclusion.starts_at <= case.now
    over = exclusion.ends_at is not None and exclusion.ends_at <= case.now
    is_minor = read_version(case.pool.version)[:2] != read_version(cluster.version)[:2]
    return begun and not over and (is_minor or not exclusion.minor_only)


def _tell_outdated(case: Case, cluster: ClusterView, why: str) -> Decision:
    command = upgrade_command(case.pool_name, cluster.version, case.settings.place)
    words = f"{_describe(case, cluster)} It isn't upgraded, because {why}. To do it: `{command}`."
    wait_s = case.settings.resync_s
    return Decision(ClaimState.READY, "SliceOutdated", words, ready=True, requeue_after_s=wait_s)


def _describe(case: Case, cluster: ClusterView) -> str:
    versions = f"Its nodes have version {case.pool.version} and the control plane {cluster.version}."
    return f"{describe_pool(case.pool, case)} {versions}"


def _find_awaited(case: Case, cluster: ClusterView) -> str:
    """What the first of the siblings that has to come first does; empty when the turn has come."""
    found = (_explain_wait(each, case, cluster) for each in _in_turn(case.seen.siblings))
    return next((words for words in found if words), "")


def _in_turn(siblings: Iterable[Sibling]) -> list[Sibling]:
    return sorted(siblings, key=lambda sibling: sibling.turn)


def _explain_wait(sibling: Sibling, case: Case, cluster: ClusterView) -> str:
    if sibling.at_work:
        return f"GKE works on slice {sibling.name}"
    if not sibling.ready:
        return f"slice {sibling.name} isn't ready"
    if not sibling.serves:
        return f"slice {sibling.name} doesn't answer yet"
    if sibling.turn < turn_of(case.claim) and is_behind(sibling.version, cluster.version):
        return f"slice {sibling.name} is upgraded before it"
    return ""
