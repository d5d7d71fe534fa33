"""GKE's automatic upgrades: the control plane, then one node pool after the other, as far as exclusions allow."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from google.cloud import container_v1

from .cloud import Cloud
from .errors import RpcError
from .machines import is_at_least
from .operations import Type
from .pace import Pace
from .pools import Pool
from .scenario import MaintenanceExclusion

log = logging.getLogger(__name__)

Scope = container_v1.MaintenanceExclusionOptions.Scope
RETRY_S = 5.0


class Upgrades:
    """Works through the cloud's own operations, so that it gets in the way of others as GKE's does."""

    def __init__(self, cloud: Cloud, pace: Pace) -> None:
        self._cloud = cloud
        self._pace = pace

    def exclude(self, exclusion: MaintenanceExclusion) -> None:
        """Enter an exclusion of the scenario, whose seconds begin now, into the cluster's maintenance policy."""
        now, window = datetime.now(UTC), self._cloud.maintenance.window.maintenance_exclusions[exclusion.name]
        window.start_time.FromDatetime(now + timedelta(seconds=exclusion.starts / self._pace.speed))
        window.end_time.FromDatetime(now + timedelta(seconds=exclusion.ends / self._pace.speed))
        window.maintenance_exclusion_options.scope = Scope[exclusion.scope]

    async def run(self, version: str) -> None:
        """Bring control plane and pools with auto-upgrade to a version; ends when all have it."""
        while self._excluded(self._cloud.scenario.version, version, nodes=False):
            await self._wait()
        await self._finish(lambda: self._cloud.upgrade_master(version))
        while behind := [pool for pool in self._cloud.pools.values() if _is_behind(pool, version)]:
            for pool in behind:
                if not self._excluded(pool.message.version, version, nodes=True) and self._is_there(pool):
                    await self._finish(lambda pool=pool: self._upgrade(pool, version))
            await self._wait()

    def _upgrade(self, pool: Pool, version: str) -> Any:
        return self._cloud.upgrade(pool, version, Type.AUTO_UPGRADE_NODES) if self._is_there(pool) else None

    def _is_there(self, pool: Pool) -> bool:
        return self._cloud.pools.get(pool.name) is pool and not pool.deleting

    async def _finish(self, start: Any) -> None:
        """Start an operation as soon as the cluster lets it, and wait for its end."""
        while True:
            try:
                if operation := start():
                    await self._cloud.operations.wait(operation.name)
                return
            except RpcError as error:
                log.debug("an upgrade waits: %s", error)
            await self._pace.wait(RETRY_S)

    async def _wait(self) -> None:
        await self._pace.wait(self._cloud.scenario.delays_s.upgrade_check)

    def _excluded(self, before: str, after: str, *, nodes: bool) -> bool:
        """Whether an exclusion that holds now covers this step."""
        now = datetime.now(UTC)
        for window in self._cloud.maintenance.window.maintenance_exclusions.values():
            if not window.start_time.ToDatetime(UTC) <= now < window.end_time.ToDatetime(UTC):
                continue
            scope = window.maintenance_exclusion_options.scope
            is_minor = before.split(".")[:2] != after.split(".")[:2]
            if scope == Scope.NO_UPGRADES or is_minor or (nodes and scope == Scope.NO_MINOR_OR_NODE_UPGRADES):
                return True
        return False


def _is_behind(pool: Pool, version: str) -> bool:
    message = pool.message
    held = message.maintenance_policy.exclusion_until_end_of_support.enabled
    return message.management.auto_upgrade and not held and not is_at_least(message.version, version)
