"""The claim reconciler: looks at one NodePoolClaim, asks `sync_claim` what to do, does it, and looks again.

Nothing that it remembers is needed: killed anywhere, the next process finds finalizers, pools and their labels.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.api.names import CLAIM_FINALIZER, CLAIM_LABEL
from mistral_operator.capacity.claim_types import (
    Action,
    AddFinalizer,
    Call,
    ClaimOutcome,
    ClaimSettings,
    ClaimUser,
    CreatePolicy,
    CreatePool,
    DeleteClaim,
    DeletePolicy,
    DeletePool,
    MendPool,
    RemoveFinalizer,
    ReplacePool,
    RunningOperation,
    Seen,
    SetAutoscaling,
)
from mistral_operator.capacity.claims import sync_claim
from mistral_operator.capacity.cloud import CloudPools
from mistral_operator.capacity.clouds import Clouds, explain_off, provisioner_of
from mistral_operator.capacity.drift import DriftNote, known_notes
from mistral_operator.capacity.errors import CloudError, CloudFinding
from mistral_operator.capacity.existing import ExistingNode, sync_existing
from mistral_operator.capacity.policies import PolicyView, needs_policy
from mistral_operator.capacity.pool_list import ListNotDueError
from mistral_operator.capacity.pools import NodeFacts, is_own, node_selector, pool_name
from mistral_operator.capacity.port import OperationView, PoolSpec, PoolStatus, PoolView, SetVersion
from mistral_operator.capacity.purchases import count_by_way, is_class
from mistral_operator.capacity.slice_upgrades import Sibling
from mistral_operator.cluster.client import ListResult
from mistral_operator.cluster.errors import NotFound
from mistral_operator.cluster.kinds import CLAIM, NODE, REVISION, Kind
from mistral_operator.cluster.status import StatusClient, StatusWriter
from mistral_operator.cluster.store import Key, Store
from mistral_operator.controller.claim_lines import find_place_of, list_next
from mistral_operator.controller.claim_users import ClaimUsers, count_nodes, labels_of_nodes
from mistral_operator.controller.orphans import OrphanedPools
from mistral_operator.controller.pool_pods import count_pods
from mistral_operator.controller.siblings import find_siblings
from mistral_operator.manifests.revision import claims_of_revision
from mistral_operator.planning.types import Provisioner

log = logging.getLogger(__name__)

Json = dict[str, Any]

_MOST_STEPS: Final = 5
"""Actions in one go; whatever needs more is looked at again a moment later."""


class ClaimClient(StatusClient, Protocol):
    """What the reconciler needs of `cluster.client.ApiClient`."""

    async def list(
        self, kind: Kind, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> ListResult:
        """Objects of a kind as they are now."""
        ...

    async def merge_patch(self, kind: Kind, name: str, namespace: str, body: Mapping[str, Any]) -> Json:
        """JSON merge patch."""
        ...

    async def delete(self, kind: Kind, name: str, namespace: str = "", *, uid: str = "") -> bool:
        """Delete that very object."""
        ...


Check = Callable[[NodePoolClaim, PoolSpec], Awaitable[CloudFinding | None]]
"""Why the cloud would refuse to create the pool, if that is known."""
OnDrift = Callable[[Json, Mapping[str, Any]], None]


class ClaimReconciler:
    """Works on claims, each by one worker at a time. Raises ApiError where the API server fails; the queue retries."""

    def __init__(
        self,
        *,
        client: ClaimClient,
        store: Store,
        clouds: Clouds,
        settings: ClaimSettings,
        facts: Callable[[NodePoolClaim], NodeFacts],
        wake: Callable[[str], None],
        checks: Mapping[Provisioner, Check] | None = None,
        on_drift: OnDrift = lambda _claim, _note: None,
        existing: Callable[[], tuple[ExistingNode, ...]] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`checks` say why a pool that is to be created would be refused. `on_drift` is called with the claim and each
        new entry of its `status.drift`.
        """
        self._client = client
        self._statuses = StatusWriter(client)
        self._store = store
        self._clouds = clouds
        self._settings = settings
        self._facts = facts
        self._wake = wake
        self._checks = checks or {}
        self._on_drift = on_drift
        self._empty_since: dict[str, datetime] = {}
        """Claim of a slice → when it was first seen without any node."""
        self._upgrading = asyncio.Lock()
        self._existing = existing
        self._now = now
        self._users = ClaimUsers(store)
        self._orphans = OrphanedPools(client, clouds, settings, now)

    async def reconcile(self, name: str) -> float | None:
        """Do what is to be done about the claim now; answers the seconds after which to look again."""
        try:
            return await self._reconcile(name)
        except ListNotDueError as early:
            return early.wait_s

    async def _reconcile(self, name: str) -> float | None:
        body = self._store[CLAIM].get(Key("", name))
        if body is None:
            return await self._orphans.release(name)
        self._orphans.forget(name)
        provisioner = provisioner_of(NodePoolClaim.model_validate(body))
        if provisioner is Provisioner.EXISTING and self._existing is not None:
            return await self._look_at_nodes(body, self._existing())
        cloud = self._clouds.get(provisioner)
        if cloud is None:
            return await self._tell_off(body, provisioner)
        notes: tuple[DriftNote, ...] = ()
        for _ in range(_MOST_STEPS):
            claim = NodePoolClaim.model_validate(body)
            outcome = await self._decide(claim, cloud, notes)
            if outcome.action is None:
                break
            notes = (*notes, *outcome.notes)
            changed = await self._do(outcome.action, body, cloud)
            if changed is None:
                return None
            body = changed
        if outcome.settled:
            cloud.settle(pool_name(name))
        await self._write_status(body, outcome)
        return outcome.requeue_after_s if outcome.action is None else self._settings.fastest_poll_s

    async def _decide(self, claim: NodePoolClaim, cloud: CloudPools, notes: tuple[DriftNote, ...]) -> ClaimOutcome:
        seen = replace(await self._observe(claim, cloud), notes=notes)
        outcome = sync_claim(claim, seen, self._settings, self._now())
        if isinstance(outcome.action, ReplacePool) and (pods := await count_pods(self._client, outcome.action.name)):
            return sync_claim(claim, replace(seen, pods=pods), self._settings, self._now())
        return outcome

    async def _look_at_nodes(self, body: Json, nodes: tuple[ExistingNode, ...]) -> float | None:
        """Of nodes that are there nothing is made, so no cloud is asked."""
        claim, metadata = NodePoolClaim.model_validate(body), body["metadata"]
        users, held_by = await self._find_users(claim)
        seen = Seen(users=users, held_by=held_by)
        outcome = sync_existing(claim, nodes, seen, self._settings, self._now())
        if isinstance(outcome.action, DeleteClaim):
            await self._client.delete(CLAIM, metadata["name"], uid=metadata["uid"])
            return None
        if isinstance(outcome.action, RemoveFinalizer):
            await self._patch_finalizers(body, _without_ours(metadata))
            return None
        await self._write_status(body, outcome)
        return outcome.requeue_after_s

    async def _tell_off(self, body: Json, provisioner: Provisioner) -> float:
        """Nothing can be asked, so nothing is done: what runs goes on, and the finalizer stays."""
        claim = NodePoolClaim.model_validate(body)
        users, held_by = await self._find_users(claim)
        seen = Seen(users=users, held_by=held_by, blind=explain_off(provisioner), facts=self._facts(claim))
        await self._write_status(body, sync_claim(claim, seen, self._settings, self._now()))
        return self._settings.resync_s

    async def _observe(self, claim: NodePoolClaim, cloud: CloudPools) -> Seen:
        name, pool = claim.metadata.name, pool_name(claim.metadata.name)
        operation, found, blind = None, None, None
        cluster, siblings = None, tuple[Sibling, ...]()
        unheard_s = cloud.unheard_s(pool)
        try:
            operation = await cloud.follow(pool, _recorded_operation(claim))
            found = await cloud.find(pool) if operation is None else None
            cluster = await cloud.describe_cluster() if claim.spec.slice is not None else None
            siblings = await find_siblings(self._store, cloud, claim, found, cluster)
        except CloudError as error:
            blind = error.finding
        there = operation is not None or blind is not None or (found is not None and is_own(found, claim))
        policy = None if there else await _find_policy(claim, cloud)
        # Asked after the cloud: whoever came to use the claim meanwhile counts.
        users, held_by = await self._find_users(claim)
        nodes = count_nodes(self._store, name)
        lacking = operation is None and blind is None and found is None
        return Seen(
            users=users,
            held_by=held_by,
            place=find_place_of(self._store, claim, self._now()) if lacking else None,
            pool=found,
            operation=operation,
            failures=cloud.failures(pool),
            blind=blind,
            nodes=nodes,
            nodes_by_way=count_by_way(claim, labels_of_nodes(self._store, name)) if is_class(claim) else (),
            facts=self._facts(claim),
            unheard_s=unheard_s,
            bounds_rest_s=cloud.bounds_rest_s(pool),
            policy=policy,
            may_call=cloud.may_change,
            mends=cloud.mends,
            empty_s=self._watch_empty(claim, found, nodes),
            cluster=cluster,
            siblings=siblings,
        )

    def _watch_empty(self, claim: NodePoolClaim, pool: PoolView | None, nodes: int) -> float | None:
        """For how long a slice that runs has been without any node. Forgetting it costs only time."""
        name = claim.metadata.name
        if claim.spec.slice is None or pool is None or pool.status is not PoolStatus.RUNNING or nodes:
            self._empty_since.pop(name, None)
            return None
        return (self._now() - self._empty_since.setdefault(name, self._now())).total_seconds()

    async def _find_users(self, claim: NodePoolClaim) -> tuple[tuple[ClaimUser, ...], tuple[str, ...]]:
        """The users; that there are none is believed only of a list that was just read from the API server."""
        name, tenant = claim.metadata.name, claim.spec.tenant
        users = self._users.known(name, tenant)
        if users:
            return users, ()
        shape = claim.spec.slice.group if claim.spec.slice else name
        listed = await self._client.list(REVISION, tenant, label_selector=f"{CLAIM_LABEL}={shape}")
        return self._users.divide(revision for revision in listed.items if name in claims_of_revision(revision))

    async def _do(self, action: Action, body: Json, cloud: CloudPools) -> Json | None:
        """The claim after the action, or None when there is nothing more to do about it now."""
        metadata = body["metadata"]
        match action:
            case AddFinalizer():
                return await self._patch_finalizers(body, [*metadata.get("finalizers", ()), CLAIM_FINALIZER])
            case RemoveFinalizer(warning):
                if warning:
                    log.warning("NodePoolClaim %s is let go: %s", metadata["name"], warning)
                await self._let_go(body, cloud)
                return None
            case DeleteClaim():
                await self._client.delete(CLAIM, metadata["name"], uid=metadata["uid"])
                return None  # Its deletionTimestamp brings it back, by the watch.
            case CreatePool(spec):
                await self._create(NodePoolClaim.model_validate(body), spec, cloud)
            case CreatePolicy(policy):
                await cloud.create_policy(policy)
            case DeletePolicy(name):
                await cloud.delete_policy(name)
            case SetAutoscaling(name, bounds):
                await cloud.resize(name, bounds)
            case MendPool(_, SetVersion()):
                await self._upgrade(NodePoolClaim.model_validate(body), action, cloud)
            case MendPool(name, mend):
                await cloud.mend(name, mend)
            case ReplacePool(name, uid):
                await cloud.delete(name, cause=None, uid=uid)
            case DeletePool(name, cause, uid):
                if cause is None or not await self._has_nodes(body):
                    await cloud.delete(name, cause=cause, uid=uid)
        return body

    async def _upgrade(self, claim: NodePoolClaim, action: MendPool, cloud: CloudPools) -> None:
        """What two workers saw at once is looked at again by the second, who sees the first one's operation then."""
        async with self._upgrading:
            if (await self._decide(claim, cloud, ())).action == action:
                await cloud.mend(action.name, action.mend)

    async def _create(self, claim: NodePoolClaim, spec: PoolSpec, cloud: CloudPools) -> None:
        check = self._checks.get(provisioner_of(claim))
        refusal = await check(claim, spec) if check else None
        if refusal is not None:
            cloud.refuse(spec, refusal)
        else:
            await cloud.create(spec)

    async def _has_nodes(self, body: Json) -> bool:
        """Asked of the API server: pods may serve on the nodes of a pool that failed."""
        selector = node_selector(NodePoolClaim.model_validate(body))
        return bool((await self._client.list(NODE, label_selector=selector)).items)

    async def _let_go(self, body: Json, cloud: CloudPools) -> None:
        try:
            await self._patch_finalizers(body, _without_ours(body["metadata"]))
        except NotFound:
            log.info("NodePoolClaim %s has gone already", body["metadata"]["name"])
        cloud.forget(pool_name(body["metadata"]["name"]))
        for name in list_next(self._store, NodePoolClaim.model_validate(body)):
            cloud.hurry(pool_name(name))
            self._wake(name)
        self._empty_since.pop(body["metadata"]["name"], None)

    async def _patch_finalizers(self, body: Json, finalizers: list[str]) -> Json:
        """The list is replaced as a whole, so only if nobody has changed it meanwhile; raises Conflict otherwise.

        A patch, not server-side apply: that would create a claim which is gone by now.
        """
        metadata = body["metadata"]
        version = metadata["resourceVersion"]
        patch = {"metadata": {"resourceVersion": version, "finalizers": finalizers}}
        changed = await self._client.merge_patch(CLAIM, metadata["name"], "", patch)
        if finalizers:
            self._store[CLAIM].put(changed, own=True)
        return changed

    async def _write_status(self, body: Json, outcome: ClaimOutcome) -> None:
        if outcome.status is None:
            return
        try:
            written = await self._statuses.write_if_needed(body, outcome.status)
        except NotFound:
            log.info("NodePoolClaim %s has gone before its status was written", body["metadata"]["name"])
            return
        if written:
            self._store[CLAIM].put(written, own=True)
            self._tell_drift(written, known_notes(NodePoolClaim.model_validate(body)))

    def _tell_drift(self, written: Json, before: Iterable[Mapping[str, Any]]) -> None:
        known = list(before)
        for note in (written.get("status") or {}).get("drift") or ():
            if note not in known:
                self._on_drift(written, note)


async def _find_policy(claim: NodePoolClaim, cloud: CloudPools) -> PolicyView | CloudFinding | None:
    if not needs_policy(claim):
        return None
    try:
        return await cloud.find_policy(pool_name(claim.metadata.name))
    except CloudError as error:
        return error.finding


def _without_ours(metadata: Mapping[str, Any]) -> list[str]:
    """The finalizers of others."""
    return [name for name in metadata.get("finalizers", ()) if name != CLAIM_FINALIZER]


def _recorded_operation(claim: NodePoolClaim) -> RunningOperation | None:
    """The operation that the status tells of."""
    recorded = claim.status.get("operation") or {}
    call = next((call for call in Call if call.value == recorded.get("type")), None)
    if call is None or not recorded.get("name"):
        return None
    view = OperationView(name=recorded["name"], done=False, finding=None, started_at=recorded.get("startedAt", ""))
    return RunningOperation(call, view)
