"""The shell around `core.sync`: reads what the store knows of one model, and writes what should be.

Everything is written by server-side apply, so that doing it again after a crash, at any point, changes nothing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final
from weakref import WeakValueDictionary

from pydantic import ValidationError

from mistral_operator.api.model import MistralModel
from mistral_operator.api.names import GROUP
from mistral_operator.cluster.apply import Applier, NameTaken
from mistral_operator.cluster.client import ApiClient
from mistral_operator.cluster.errors import (
    UPGRADE,
    ApiError,
    Conflict,
    Forbidden,
    NamespaceTerminating,
    NotFound,
    Undeclared,
)
from mistral_operator.cluster.kinds import MODEL, POD, REVISION, SERVICE, WORKLOADS, find_kind, kind_of
from mistral_operator.cluster.status import StatusWriter
from mistral_operator.cluster.store import Key, Store
from mistral_operator.controller.events import Recorder
from mistral_operator.controller.knowledge import Knowledge
from mistral_operator.controller.ledger import Ledger
from mistral_operator.controller.observation import observe
from mistral_operator.controller.pool_use import PoolUses
from mistral_operator.core.failure import add_failure
from mistral_operator.core.sync import sync
from mistral_operator.core.types import Manifest, ObjectRef, Outcome, PodMark
from mistral_operator.planning.remember import PlanMemory
from mistral_operator.planning.types import ClusterProfile
from mistral_operator.status.pods import DELETION_COST

Json = dict[str, Any]

_PERMANENT_RETRY_S: Final = 600.0
"""A request that the API server refuses as it is will hardly be taken later; the spec is what has to change."""
_NAME_TAKEN_RETRY_S: Final = 60.0
"""Nobody tells when somebody else's object has gone: it carries no label of ours, so it isn't watched."""
_UNKNOWN_RETRY_S: Final = 5.0
"""After a start nobody gets more of a budget, or is told of his place in line, before all models have been seen."""
_PATIENCE: Final = 3
"""After so many failures in a row a missing right is told in the status; sooner, it may be passing."""

log = logging.getLogger(__name__)


class ModelReconciler:
    """Reconciles one model at a time; keys are (namespace, name). It keeps nothing that the cluster doesn't have."""

    def __init__(
        self,
        client: ApiClient,
        store: Store,
        recorder: Recorder,
        *,
        knowledge: Knowledge,
        cluster: Callable[[], ClusterProfile],
        failures: Callable[[Key], int],
        others_wait: Callable[[], bool],
        on_ghost: Callable[[], None],
        ledger: Ledger,
        pools: PoolUses,
    ) -> None:
        """`cluster` is asked at each reconcile; `failures` says how often a key has failed in a row, `others_wait`
        whether other models wait for their turn; `on_ghost` is called when a model that the store has is gone. `ledger`
        and `pools` are over the same store.
        """
        self._client = client
        self._store = store
        self._recorder = recorder
        self._knowledge = knowledge
        self._cluster = cluster
        self._failures = failures
        self._others_wait = others_wait
        self._on_ghost = on_ghost
        self._ledger = ledger
        self._pools = pools
        self._plans = PlanMemory()
        self._applier = Applier(client, store)
        self._statuses = StatusWriter(client)
        self._claim_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """Claim → its lock, for as long as somebody holds it or waits for it."""

    async def reconcile(self, key: Key) -> float | None:
        """Makes the cluster what the model asks for; answers after how many seconds to look again, if at all.

        Raises ApiError for what is worth another try.
        """
        body = self._store[MODEL].get(key)
        if body is None or "deletionTimestamp" in body["metadata"]:
            return None  # Its objects go by their owner references, its claims are released by their own reconciler.
        try:
            model = MistralModel.model_validate(body)
        except ValidationError as error:
            self._ledger.give_up(key)
            return self._refuse(body, error)
        try:
            return await self._sync(model, body, key)
        except NamespaceTerminating:
            return None

    def _decide(self, model: MistralModel, body: Json, key: Key) -> Outcome | None:
        """None when it is too early. Nothing may come in between: what the model gets of its class's budget is gone for
        others from here on.
        """
        known, named, complete = self._knowledge, model.spec.serving_class_name or "", self._ledger.complete
        try:
            observed = observe(self._store, body, self._cluster(), self._pools)
            observed = replace(observed, budget=self._ledger.show(key, named, observed.serving_classes))
            outcome = sync(model, observed, known.catalogue, known.settings, datetime.now(UTC), self._plans.plan)
        except Exception:
            self._ledger.give_up(key)
            raise
        self._ledger.record(key, named, outcome.account)
        return outcome if complete or not outcome.account.waits else None

    async def _sync(self, model: MistralModel, body: Json, key: Key) -> float | None:
        outcome = self._decide(model, body, key)
        if outcome is None:
            return _UNKNOWN_RETRY_S  # Sooner, when the last of the others has been looked at.
        if body.get("status") and self._misses_any(outcome.manifests) and not await self._is_alive(body):
            self._on_ghost()
            return None
        try:
            await self._mark(key.namespace, outcome.marks)
            changed = await self._apply(outcome)
            await self._prune(key.namespace, outcome.prune)
        except NamespaceTerminating:
            raise
        except ApiError as error:
            await self._report(body, outcome, error, key)
            if not error.permanent:
                raise
            return _retry_s(error)
        if changed and self._others_wait():
            return 0.0  # First everybody's objects, then what there is to tell of them, behind those that wait.
        await self._write_status(body, outcome.status)
        for note in outcome.events:
            self._recorder.record(body, note.type, note.reason, note.message)
        return outcome.requeue_after_s

    def _misses_any(self, manifests: Iterable[Manifest]) -> bool:
        """Whether one of these objects of a model isn't there."""
        keys = ((kind_of(manifest), manifest["metadata"]) for manifest in manifests)
        return any(self._store[kind].meta(Key(meta["namespace"], meta["name"])) is None for kind, meta in keys)

    async def _is_alive(self, body: Json) -> bool:
        """Asked of the API server where a model that has a status lacks objects: they may have gone with the model,
        before its own watch told so. Made again they would be orphans, and of a workload that comes back under its old
        name the garbage collector may overlook what it left.
        """
        metadata = body["metadata"]
        live = await self._client.get(MODEL, metadata["name"], metadata["namespace"])
        found = live["metadata"] if live else {}
        return found.get("uid") == metadata["uid"] and "deletionTimestamp" not in found

    async def _apply(self, outcome: Outcome) -> bool:
        """Revisions first: they are what a claim is used by. Then the Service, because no machine is bought for a model
        that nobody could reach; one that runs already is still scaled. Then claims, then all the rest at once.

        Answers whether anything was written.
        """
        revisions, services, others = _in_order(outcome.manifests)
        written = await self._all(map(self._applier.apply_if_needed, revisions))
        refused: ApiError | None = None
        try:
            written += await self._all(map(self._applier.apply_if_needed, services))
        except ApiError as error:
            if self._misses_any(manifest for manifest in others if kind_of(manifest) in WORKLOADS):
                raise
            refused = error
        written += await self._all(map(self._apply_claim, outcome.claims))
        written += await self._all(map(self._applier.apply_if_needed, others))
        if refused:
            raise refused
        return any(written)

    async def _apply_claim(self, claim: Manifest) -> bool:
        """Many models share a claim: the first one writes it, the others wait for that and see it in the store."""
        lock = self._claim_locks.setdefault(claim["metadata"]["name"], asyncio.Lock())
        async with lock:
            return await self._applier.apply_if_needed(claim)

    async def _all(self, writes: Iterable[Awaitable[bool]]) -> list[bool]:
        """Waits for all of them, also when some fail, and raises the failure that needs a person first."""
        answers = await asyncio.gather(*writes, return_exceptions=True)
        failed = [answer for answer in answers if isinstance(answer, BaseException)]
        if failed:
            raise min(failed, key=lambda error: not (isinstance(error, ApiError) and error.permanent))
        return [answer for answer in answers if not isinstance(answer, BaseException)]

    async def _prune(self, namespace: str, unwanted: Iterable[ObjectRef]) -> None:
        for ref in unwanted:
            kind, key = find_kind(ref.api_version, ref.kind), Key(namespace, ref.name)
            meta = self._store[kind].meta(key)
            if meta is None or meta.deleting:
                continue
            await self._client.delete(kind, ref.name, namespace, uid=ref.uid)
            # The watch tells of the deletion later; until then it must not be asked for again.
            self._store[kind].remove(key, meta.version)
            log.info("Removed %s %s, which is no longer wanted", ref.kind, ref.name)

    async def _mark(self, namespace: str, marks: Iterable[PodMark]) -> None:
        """A pod that has gone, or is another one by now, needs no mark."""
        for mark in marks:
            metadata = {"uid": mark.uid, "annotations": {DELETION_COST: mark.deletion_cost}}
            try:
                marked = await self._client.merge_patch(POD, mark.name, namespace, {"metadata": metadata})
            except (NotFound, Conflict):
                continue
            self._store[POD].put(marked, own=True)

    async def _write_status(self, body: Json, status: Manifest) -> None:
        try:
            written = await self._statuses.write_if_needed(body, status)
        except NotFound:
            self._on_ghost()
            return
        if written:
            self._store[MODEL].put(written, own=True)

    async def _report(self, body: Json, outcome: Outcome, error: ApiError, key: Key) -> None:
        """Tells in the status what the API server refused, in its own words, beside all that is known otherwise.

        A passing failure isn't worth a word, but the status goes on: replicas may have come and gone meanwhile.
        """
        if not error.permanent and self._failures(key) < _PATIENCE:
            await self._write_status(body, outcome.status)
            return
        log.error("Refused by the API server: %s", error)
        reason = "NameTaken" if isinstance(error, NameTaken) else "ApplyRefused"
        message = f"{error.message.rstrip('.')}{_advice_on(error)}"
        self._recorder.record(body, "Warning", reason, message)
        told = add_failure(
            outcome.status,
            body.get("status") or {},
            reason=reason,
            message=message,
            lasting=error.permanent or isinstance(error, Forbidden),
            now=datetime.now(UTC),
        )
        await self._write_status(body, told)

    def _refuse(self, body: Json, error: ValidationError) -> float:
        """The API server's schema would not let this in: it was stored under another version of the schema."""
        first: Mapping[str, Any] = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = f"{where}: {first['msg']}. {UPGRADE}, then the object again."
        log.error("Not a valid MistralModel: %s", message)
        self._recorder.record(body, "Warning", "Invalid", message)
        return _PERMANENT_RETRY_S


def _retry_s(error: ApiError) -> float:
    """Seconds until a request that was refused for good is tried again all the same."""
    return _NAME_TAKEN_RETRY_S if isinstance(error, NameTaken) else _PERMANENT_RETRY_S


def _advice_on(error: ApiError) -> str:
    """What follows from a refusal, beside the API server's own words."""
    if not error.permanent:
        return ""
    remedy = f". {UPGRADE}" if isinstance(error, Undeclared) and GROUP in error.message else ""
    return f"{remedy}. Tried again every {_retry_s(error):.0f} s and after each change"


def _in_order(manifests: Iterable[Manifest]) -> tuple[list[Manifest], list[Manifest], list[Manifest]]:
    """The revisions, the Services, and all the rest."""
    ordered: tuple[list[Manifest], list[Manifest], list[Manifest]] = ([], [], [])
    for manifest in manifests:
        kind = kind_of(manifest)
        ordered[0 if kind == REVISION else 1 if kind == SERVICE else 2].append(manifest)
    return ordered
