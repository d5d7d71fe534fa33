"""The operator's parts and how they are put together. Nothing runs yet."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from mistral_operator.api.names import MODEL_LABEL, ROLE_LABEL, SHAPE_LABEL
from mistral_operator.capacity.advice import ClusterPlace
from mistral_operator.capacity.claims.node_facts import find_node_facts
from mistral_operator.capacity.claims.types import ClaimSettings
from mistral_operator.capacity.policies import WorkloadPolicies
from mistral_operator.capacity.port import NodePools
from mistral_operator.capacity.provisioners.cloud import CloudPace, CloudPools
from mistral_operator.capacity.provisioners.clouds import Clouds
from mistral_operator.cluster.client import ApiClient
from mistral_operator.cluster.kinds import CHILDREN, CLAIM, EVENT, MODEL, NODE, OPTIONAL, POD, SERVING_CLASS, Kind
from mistral_operator.cluster.reflector import Reflector
from mistral_operator.cluster.store import Key, Store
from mistral_operator.controller.checks import choose_checks
from mistral_operator.controller.claims import ClaimReconciler, OnDrift
from mistral_operator.controller.comparison import Comparison
from mistral_operator.controller.event_bound import EventBound
from mistral_operator.controller.events import Recorder
from mistral_operator.controller.existing_nodes import ExistingNodes
from mistral_operator.controller.knowledge import Knowledge
from mistral_operator.controller.ledger import Ledger
from mistral_operator.controller.metrics import Metrics
from mistral_operator.controller.models import ModelReconciler
from mistral_operator.controller.observation import AUTOSCALER_EVENTS, RULES
from mistral_operator.controller.options import RunOptions
from mistral_operator.controller.orphans import OrphanWatch
from mistral_operator.controller.pool_use import PoolUses
from mistral_operator.controller.profile import LiveProfile
from mistral_operator.controller.queue import KeyedQueue
from mistral_operator.controller.routing import Router
from mistral_operator.controller.watch import OwnKindsWatch
from mistral_operator.controller.workers import Workers
from mistral_operator.planning.types import ClusterProfile, Provisioner

_CLAIM_WORKERS: Final = 4
_REFLECTED: Final[tuple[tuple[Kind, str, str], ...]] = (
    *((kind, MODEL_LABEL, "") for kind in CHILDREN),
    (POD, ROLE_LABEL, ""),
    (NODE, SHAPE_LABEL, ""),
    (SERVING_CLASS, "", ""),
    (EVENT, "", AUTOSCALER_EVENTS),
)
"""Kind, label selector and field selector of what is reflected: never the whole cluster's pods or nodes. Where nodes
may be used that are there already, those with accelerators are reflected too: `existing_nodes`.
"""


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that runs."""

    store: Store
    knowledge: Knowledge
    router: Router
    profile: LiveProfile
    existing: ExistingNodes | None
    """None where nothing may run on nodes that the operator didn't make."""
    recorder: Recorder
    reflectors: tuple[Reflector, ...]
    comparison: Comparison
    watch: OwnKindsWatch
    orphans: OrphanWatch
    models: Workers[Key]
    claims: Workers[str]


def assemble(
    client: ApiClient,
    pools: Mapping[Provisioner, NodePools],
    policies: Mapping[Provisioner, WorkloadPolicies],
    place: ClusterPlace,
    profile: LiveProfile,
    options: RunOptions,
    metrics: Metrics,
) -> Parts:
    """Puts the parts together. `client`, `pools` and `policies` are what they write to."""
    store = Store(RULES)
    model_queue, claim_queue = KeyedQueue[Key](), KeyedQueue[str]()
    router = Router(store, model_queue, claim_queue)
    recorder, ledger = Recorder(client), Ledger(store, wake=model_queue.add)
    knowledge = Knowledge(options.settings, options.catalogue_directory, metrics.tell_catalogue)
    watch = OwnKindsWatch(client.connection, store, on_listed=lambda: comparison.request())
    resync, kinds = _resync(router, watch), (MODEL, CLAIM)
    comparison = Comparison(client, store, kinds, interval_s=options.resync_s, metrics=metrics, on_resync=resync)
    existing = _watch_existing(client, profile, comparison.request, metrics)
    cluster = partial(_profile, profile, existing)
    models = _model_reconciler(client, store, recorder, ledger, knowledge, cluster, model_queue, comparison.request)
    clouds = {name: _share_cloud(client, each, policies.get(name), options) for name, each in pools.items()}
    claims = ClaimReconciler(
        client=client,
        store=store,
        clouds=clouds,
        settings=_claim_settings(place, options),
        wake=claim_queue.add,
        facts=lambda claim: find_node_facts(knowledge.catalogue, knowledge.settings.prices, claim),
        checks=choose_checks(place, pools, options, lambda: knowledge.catalogue),
        on_drift=_drift_teller(recorder, metrics),
        existing=(lambda: existing.nodes) if existing else None,
    )
    return Parts(
        store=store,
        knowledge=knowledge,
        router=router,
        profile=profile,
        recorder=recorder,
        reflectors=_reflectors(client, store, existing, comparison.request, metrics),
        existing=existing,
        comparison=comparison,
        watch=watch,
        orphans=_watch_orphans(store, clouds, place, claim_queue, metrics),
        models=Workers("model", model_queue, models.reconcile, maximum=options.workers, metrics=metrics),
        claims=Workers("claim", claim_queue, claims.reconcile, maximum=_CLAIM_WORKERS, metrics=metrics),
    )


def _claim_settings(place: ClusterPlace, options: RunOptions) -> ClaimSettings:
    return ClaimSettings(
        place=place,
        idle_after_s=options.settings.claim_idle_after_s,
        drift=options.drift,
        slice_upgrades=options.slice_upgrades,
    )


def _drift_teller(recorder: Recorder, metrics: Metrics) -> OnDrift:
    """Says in an Event on the claim what somebody changed of its pool, and counts it."""

    def tell(claim: Mapping[str, Any], note: Mapping[str, Any]) -> None:
        metrics.count_drift(note["finding"], note["done"])
        recorder.record(claim, "Warning", note["finding"], f"{note['done']}: {note['message']}")

    return tell


def _model_reconciler(
    client: ApiClient,
    store: Store,
    recorder: Recorder,
    ledger: Ledger,
    knowledge: Knowledge,
    cluster: Callable[[], ClusterProfile],
    queue: KeyedQueue[Key],
    on_ghost: Callable[[], None],
) -> ModelReconciler:
    return ModelReconciler(
        client,
        store,
        recorder,
        ledger=ledger,
        pools=PoolUses(store, wake=queue.add_after),
        knowledge=knowledge,
        cluster=cluster,
        failures=queue.failures,
        others_wait=lambda: len(queue) > 0,
        on_ghost=on_ghost,
    )


def _watch_orphans(
    store: Store, clouds: Clouds, place: ClusterPlace, claim_queue: KeyedQueue[str], metrics: Metrics
) -> OrphanWatch:
    return OrphanWatch(
        store,
        clouds,
        cluster_uid=place.uid,
        found=claim_queue.add,
        count=metrics.orphaned_pools.set,
        count_policies=metrics.orphaned_policies.set,
    )


def _share_cloud(
    client: ApiClient, pools: NodePools, policies: WorkloadPolicies | None, options: RunOptions
) -> CloudPools:
    """Changes the cloud only while this process may write to the API server, too."""
    pace = CloudPace(backoff_scale=options.cloud_backoff_scale)
    return CloudPools(pools, policies=policies, pace=pace, guard=lambda: client.before_write())


def _watch_existing(
    client: ApiClient, profile: LiveProfile, on_reconnect: Callable[[], None], metrics: Metrics
) -> ExistingNodes | None:
    if Provisioner.EXISTING not in profile.current.provisioners:
        return None
    return ExistingNodes(client, on_reconnect=on_reconnect, on_restart=metrics.count_restart)


def _profile(profile: LiveProfile, existing: ExistingNodes | None) -> ClusterProfile:
    """The cluster as it is now, with the nodes that are there if anything may run on them."""
    return replace(profile.current, nodes=existing.groups) if existing else profile.current


def _reflectors(
    client: ApiClient,
    store: Store,
    existing: ExistingNodes | None,
    on_reconnect: Callable[[], None],
    metrics: Metrics,
) -> tuple[Reflector, ...]:
    EventBound(store)  # Lives as long as the store, whose listener it is.
    own = (
        Reflector(
            client,
            store[kind],
            label_selector=labels,
            field_selector=fields,
            optional=kind in OPTIONAL,
            on_reconnect=on_reconnect,
            on_restart=metrics.count_restart,
        )
        for kind, labels, fields in _REFLECTED
    )
    return (*own, *(existing.reflectors if existing else ()))


def _resync(router: Router, watch: OwnKindsWatch) -> Callable[[int], None]:
    """Looks at everything again, and starts kopf anew when it has twice in a row not told of changes."""
    missed_before = 0

    def resync(missed: int) -> None:
        nonlocal missed_before
        router.look_at_everything()
        if missed and missed_before:
            watch.restart()
        missed_before = missed

    return resync
