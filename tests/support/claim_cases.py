"""Claims, pools and what is seen of them, short to write in tests."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.api.names import API_VERSION, CLAIM_FINALIZER, CLAIM_KIND
from mistral_operator.capacity.advice import ClusterPlace
from mistral_operator.capacity.claims.types import Call, ClaimSettings, ClaimUser, FailedCall, RunningOperation
from mistral_operator.capacity.errors import CloudFinding, classify
from mistral_operator.capacity.policies import HIGH_THROUGHPUT, PolicySpec, PolicyState, PolicyView
from mistral_operator.capacity.pools import NodeFacts, pool_spec, upkeep_of
from mistral_operator.capacity.port import Bounds, OperationView, PoolSpec, PoolStatus, PoolView, UpgradeHold

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NAME = "g2-standard-12-od-0123456789"
POOL = f"mm-{NAME}"
SETTINGS = ClaimSettings(place=ClusterPlace("team-project", "us-central1", "serving"))
CHAT = ClaimUser("team", "chat", 2)
GROUP = "ct6e-standard-4t-od-0123456789"
USERS = (ClaimUser("team-a", "mix", 1),)
SLICE_ZONES = ("us-central1-a", "us-central1-b", "us-central1-c")

STOCK_OUT = "[GCE_STOCKOUT] The zone 'us-central1-a' does not have enough resources available to fulfill the request."
QUOTA = "Quota 'NVIDIA_L4_GPUS' exceeded.  Limit: 1.0 in region us-central1."


def claim_body(
    name: str = NAME, *, consumption: str = "OnDemand", terms: dict[str, Any] | None = None, **metadata: Any
) -> dict[str, Any]:
    """A claim as JSON, held by our finalizer unless `finalizers` says otherwise; `terms` are more of its spec."""
    return {
        "apiVersion": API_VERSION,
        "kind": CLAIM_KIND,
        "metadata": {"name": name, "uid": f"uid-{name}", "generation": 1, "finalizers": [CLAIM_FINALIZER], **metadata},
        "spec": {
            "shape": {"machineType": "g2-standard-12", "accelerator": {"type": "nvidia-l4", "count": 1}},
            "consumption": consumption,
            "zones": ["us-central1-a", "us-central1-b"],
            "tenant": "team",
            **(terms or {}),
        },
    }


def a_claim(status: dict[str, Any] | None = None, **changes: Any) -> NodePoolClaim:
    """The same, parsed; `deletionTimestamp`, `finalizers` and so on as keywords."""
    return NodePoolClaim.model_validate({**claim_body(**changes), "status": status or {}})


DELETED = {"deletionTimestamp": "2026-11-23T11:59:00Z"}


def pool_of(spec: PoolSpec, status: PoolStatus = PoolStatus.RUNNING) -> PoolView:
    """The pool that the cloud makes of a spec."""
    return PoolView(
        name=spec.name,
        status=status,
        machine_type=spec.machine_type,
        accelerators=(spec.gpu,) if spec.gpu else (),
        spot=spec.spot,
        locations=spec.locations,
        node_labels=spec.node_labels,
        resource_labels=spec.resource_labels,
        bounds=spec.bounds,
        findings=(),
        slice_topology=spec.slice_topology,
        reservation=spec.reservation,
        flex_start=bool(spec.max_run_s),
        max_run_s=spec.max_run_s,
        placement_policy=spec.placement_policy,
        image_cache=spec.image_cache,
        upkeep=upkeep_of(spec),
        autoscaled=spec.bounds is not None,
    )


def a_slice(number: int = 0, *, zones: Sequence[str] = SLICE_ZONES, **status: Any) -> NodePoolClaim:
    """The claim of one of a model's multi-host slices."""
    return NodePoolClaim.model_validate({**slice_body(number, zones=zones), "status": status})


def slice_body(number: int = 0, *, zones: Sequence[str] = SLICE_ZONES, **metadata: Any) -> dict[str, Any]:
    """The same as JSON."""
    name = f"{GROUP}-{number}"
    return {
        "apiVersion": API_VERSION,
        "kind": CLAIM_KIND,
        "metadata": {"name": name, "uid": f"uid-{name}", "generation": 1, "finalizers": [CLAIM_FINALIZER], **metadata},
        "spec": {
            "shape": {
                "machineType": "ct6e-standard-4t",
                "accelerator": {"type": "tpu-v6e-slice", "count": 4},
                "topology": "4x4",
                "hosts": 4,
            },
            "consumption": "OnDemand",
            "zones": zones,
            "tenant": "team-a",
            "model": "mix",
            "slice": {"group": GROUP, "number": number},
        },
    }


def slice_spec(claim: NodePoolClaim, hold: UpgradeHold = UpgradeHold.NONE) -> PoolSpec:
    """The pool to create for it, in the first zone."""
    return pool_spec(claim, total_max=1, facts=NodeFacts(), zone=SLICE_ZONES[0], hold=hold)


def policy_of(spec: PolicySpec, state: PolicyState = PolicyState.READY) -> PolicyView:
    """The workload policy that the cloud makes of a spec."""
    return PolicyView(spec.name, state, HIGH_THROUGHPUT, spec.topology, spec.description)


def a_pool(
    status: PoolStatus = PoolStatus.RUNNING, *, total_max: int = 2, says: Sequence[str] = (), **changes: Any
) -> PoolView:
    """The claim's own pool; `says` are the texts of its conditions."""
    pool = pool_of(pool_spec(a_claim(), total_max=total_max, facts=NodeFacts()), status)
    return replace(pool, findings=tuple(a_finding(text) for text in says), **changes)


STRANGERS = {"resource_labels": {"team": "somebody-else"}}


def a_finding(text: str, code: str = "") -> CloudFinding:
    """What the cloud's text means."""
    return classify(code, text).finding


def an_operation(call: Call, age_s: float = 0) -> RunningOperation:
    """One of ours that is under way."""
    started = (NOW - timedelta(seconds=age_s)).isoformat()
    return RunningOperation(call, OperationView(name="operation-1", done=False, finding=None, started_at=started))


def a_failure(call: Call, text: str, *, code: str = "", wait_s: float = 30) -> FailedCall:
    """A call that failed a moment ago."""
    return FailedCall(call, a_finding(text, code), NOW + timedelta(seconds=wait_s))


def bounds(total_max: int) -> Bounds:
    """0 to that many nodes."""
    return Bounds(0, total_max)
