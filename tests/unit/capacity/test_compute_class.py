"""A pool as a ComputeClass: what is written, what is read of it, and what the API server's refusals mean."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import jsonschema
import pytest
from tests.support.claim_cases import DELETED, NOW, SETTINGS
from tests.support.compute_classes import (
    CLASS_CLAIM,
    CLUSTER_VIEW,
    Shelf,
    class_claim,
    open_compute_classes,
    read_schema,
)

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.capacity.claims.drift import DriftPolicy
from mistral_operator.capacity.claims.sync import sync_claim
from mistral_operator.capacity.claims.types import ClaimState, ClaimUser, DeletePool, ReplacePool, Seen
from mistral_operator.capacity.errors import AlreadyExistsError, CloudError, NotFoundError
from mistral_operator.capacity.objects.compute_class import class_object, class_view
from mistral_operator.capacity.pools import NodeFacts, differences, find_flaw, is_own, is_surely_own, pool_spec
from mistral_operator.capacity.port import Bounds, PoolStatus, PoolView
from mistral_operator.capacity.purchases import count_by_way, word_purchases
from mistral_operator.cluster.errors import ApiError, Forbidden, NotFound, Unreachable

Json = dict[str, Any]
ZONES = ["us-central1-a", "us-central1-b"]
LADDER = (
    {"consumption": "Reservation", "reservation": "projects/gpus/reservations/team", "zones": ["us-central1-a"]},
    {"consumption": "OnDemand", "zones": ZONES},
    {"consumption": "FlexStart", "zones": ZONES},
)
NAME = f"mm-{CLASS_CLAIM}"
CHEAP, DEAR = Decimal("0.50"), Decimal("1.00")
PODS = {"maxPodsPerNode": 32}
STORAGE = {"bootDiskType": "pd-balanced", "bootDiskSize": 224}
L4 = {"machineType": "g2-standard-12", "gpu": {"type": "nvidia-l4", "count": 1, "driverVersion": "default"}}
HEALTHY = {"type": "Health", "status": "True", "reason": "Health", "message": "Crd is healthy."}


def rendered(claim: NodePoolClaim, *, autopilot: bool = False, **facts: Any) -> Json:
    spec = pool_spec(claim, total_max=2, facts=NodeFacts(accelerator_memory_gib=24, **facts), cluster_uid="uid-1")
    return class_object(spec, autopilot=autopilot)


def viewed(claim: NodePoolClaim, **changes: Any) -> PoolView:
    body = rendered(claim)
    return class_view({**body, "spec": {**body["spec"], **changes}})


def test_each_way_to_buy_is_a_priority() -> None:
    body = rendered(class_claim(*LADDER))
    where = {"location": {"zones": ZONES, "locationPolicy": "ANY"}}
    specific = [{"name": "team", "project": "gpus", "zones": ["us-central1-a"]}]
    flex = {"enabled": True, "nodeRecycling": {"leadTimeSeconds": 3600}}
    assert body["spec"]["priorities"] == [
        {**L4, "spot": True, **where, "storage": STORAGE, **PODS},
        {**L4, "reservations": {"affinity": "Specific", "specific": specific}, "storage": STORAGE, **PODS},
        {**L4, **where, "storage": STORAGE, **PODS},
        {**L4, "flexStart": flex, "maxRunDurationSeconds": 604800, **where, "storage": STORAGE, **PODS},
    ]
    assert body["spec"]["activeMigration"] == {"optimizeRulePriority": False}
    assert body["spec"]["whenUnsatisfiable"] == "DoNotScaleUp"
    assert body["spec"]["nodePoolConfig"] == {
        "imageType": "cos_containerd",
        "imageStreaming": {"enabled": True},
        "nodeLabels": {"serving.mistral-operator.dev/shape": CLASS_CLAIM},
    }
    assert body["metadata"]["labels"]["mistral-operator-claim"] == CLASS_CLAIM


def test_on_autopilot_the_nodes_software_is_left_to_google() -> None:
    config = rendered(class_claim(), autopilot=True)["spec"]["nodePoolConfig"]
    assert config == {"nodeLabels": {"serving.mistral-operator.dev/shape": CLASS_CLAIM}}


def tpu_claim() -> NodePoolClaim:
    accelerator = {"type": "tpu-v6e-slice", "count": 8}
    return class_claim(shape={"machineType": "ct6e-standard-8t", "accelerator": accelerator, "topology": "2x4"})


def test_a_tpu_is_named_by_the_chips_of_one_machine() -> None:
    (priority,) = rendered(tpu_claim())["spec"]["priorities"]
    assert priority["tpu"] == {"type": "tpu-v6e-slice", "count": 8, "topology": "2x4"}
    assert "gpu" not in priority


@pytest.mark.parametrize("autopilot", [False, True])
@pytest.mark.parametrize("claim", [class_claim(*LADDER), tpu_claim()])
def test_googles_definition_takes_what_is_written(claim: NodePoolClaim, autopilot: bool) -> None:
    body = rendered(claim, autopilot=autopilot, local_ssds=2)
    schema = close(read_schema()["properties"]["spec"])
    jsonschema.validate(body["spec"], schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**body["spec"], "gvnic": True}, schema)


def close(schema: Json) -> Json:
    """The schema as the API server's strict validation reads it: no field but those that it names."""
    closed = {key: close(value) if key == "items" else value for key, value in schema.items()}
    if "properties" in schema:
        closed["properties"] = {name: close(part) for name, part in schema["properties"].items()}
        closed["additionalProperties"] = False
    return closed


@pytest.mark.parametrize("claim", [class_claim(*LADDER), tpu_claim()])
def test_what_was_written_is_read_as_the_claims_own(claim: NodePoolClaim) -> None:
    view = viewed(claim)
    assert is_own(view, claim)
    assert is_surely_own(view, CLASS_CLAIM, "uid-1")
    assert differences(view, claim) == ()
    assert view.status is PoolStatus.RUNNING


def test_an_edited_class_is_told() -> None:
    claim = class_claim(*LADDER)
    priorities = rendered(claim)["spec"]["priorities"]
    view = viewed(claim, priorities=priorities[:1])
    (difference,) = differences(view, claim)
    assert difference.startswith("priorities is spot in us-central1-a, us-central1-b, not spot in us-central1-a")
    assert not is_surely_own(view, CLASS_CLAIM, "uid-1")


@pytest.mark.parametrize(("nodes", "action"), [(0, ReplacePool(NAME)), (2, None)])
def test_a_class_with_nodes_is_not_replaced_because_pods_may_run_there(nodes: int, action: object) -> None:
    """Its pods can't be counted by the name of a node pool: GKE gives those of a class names of their own."""
    claim = class_claim(*LADDER)
    edited = viewed(claim, priorities=rendered(claim)["spec"]["priorities"][:1])
    seen = Seen(users=(ClaimUser("team", "chat", 1),), pool=edited, nodes=nodes, nodes_by_way=(nodes, 0, 0, 0))
    outcome = sync_claim(claim, seen, replace(SETTINGS, drift=DriftPolicy.REPLACE), NOW)
    assert outcome.action == action
    assert outcome.status is not None
    assert outcome.status["conditions"][0]["reason"] == "PoolDiffers"


def test_a_strangers_class_can_be_read() -> None:
    pools = [{"nodepools": ["blue", "green"]}]
    view = class_view(
        {"metadata": {"name": "theirs"}, "spec": {"priorities": pools, "whenUnsatisfiable": "DoNotScaleUp"}}
    )
    assert not is_own(view, class_claim())
    assert class_view({"metadata": {"name": "empty"}, "spec": {}}).purchases == ()


@pytest.mark.parametrize(
    ("reason", "message", "found"),
    [
        ("MachineTypeNotFound", "Machine type g9 is not a known type.", "ComputeClassMisconfigured"),
        ("ReservationNotFound", 'Reservation "team" either does not exist or not accessible.', "ReservationNotFound"),
    ],
)
def test_what_the_autoscaler_finds_wrong_is_quoted(reason: str, message: str, found: str) -> None:
    sick = {**HEALTHY, "status": "False", "message": "Crd is not healthy."}
    flaw = {"type": "RuleMisconfigured", "status": "True", "reason": reason, "message": message}
    body = {**rendered(class_claim()), "status": {"conditions": [sick, flaw]}}
    view = class_view(body)
    assert view.status is PoolStatus.RUNNING_WITH_ERROR
    outcome = sync_claim(class_claim(), Seen(users=(ClaimUser("team", "chat", 1),), pool=view), SETTINGS, NOW)
    assert outcome.status is not None
    degraded = next(c for c in outcome.status["conditions"] if c["type"] == "Degraded")
    assert (degraded["status"], degraded["reason"], degraded["message"]) == ("True", found, message)
    ready = outcome.status["conditions"][0]
    assert (ready["status"], ready["reason"]) == ("False", found), "GKE makes no node by it"
    serving = Seen(users=(ClaimUser("team", "chat", 1),), pool=view, nodes=1, nodes_by_way=(1,))
    served = sync_claim(class_claim(), serving, SETTINGS, NOW)
    assert served.status is not None
    assert (served.status["conditions"][0]["status"], served.status["conditions"][1]["reason"]) == ("True", found)


def test_a_class_is_kept_for_as_long_as_it_has_nodes() -> None:
    body = class_claim(*LADDER).model_dump(by_alias=True, exclude_none=True, mode="json")
    claim = NodePoolClaim.model_validate({**body, "metadata": {**body["metadata"], **DELETED}})
    waiting = sync_claim(claim, Seen(pool=viewed(claim), nodes=1, nodes_by_way=(0, 0, 1, 0)), SETTINGS, NOW)
    assert waiting.action is None
    assert waiting.status is not None
    assert waiting.status["conditions"][0]["reason"] == "NodesRemain"
    gone = sync_claim(claim, Seen(pool=viewed(claim)), SETTINGS, NOW)
    assert gone.action == DeletePool(NAME, cause=None)


def test_no_bounds_are_asked_of_a_class() -> None:
    claim = class_claim(*LADDER)
    seen = Seen(users=(ClaimUser("team", "chat", 7),), pool=viewed(claim))
    outcome = sync_claim(claim, seen, SETTINGS, NOW)
    assert (outcome.action, outcome.settled) == (None, True)
    assert outcome.status is not None
    assert outcome.status["state"] == ClaimState.READY


def test_each_node_is_counted_by_its_own_way() -> None:
    claim = class_claim(*LADDER, {"consumption": "OnDemand", "zones": ["us-central1-c"]})
    zone = "topology.kubernetes.io/zone"
    nodes = [
        {"cloud.google.com/gke-spot": "true", zone: "us-central1-a"},
        {"cloud.google.com/reservation-name": "team", zone: "us-central1-a"},
        {"cloud.google.com/gke-flex-start": "true", zone: "us-central1-b"},
        {zone: "us-central1-b"},
        {zone: "us-central1-c"},
        {zone: "us-central1-c"},
    ]
    assert count_by_way(claim, nodes) == (1, 1, 1, 1, 2)
    assert count_by_way(class_claim(), nodes[1:2]) == (0,), "a node of nobody's way is counted nowhere"


def test_nodes_cost_what_their_own_way_does() -> None:
    claim = class_claim(LADDER[1])
    facts = NodeFacts(hourly_price=None)
    prices = replace(facts, hourly_price=CHEAP, further_prices=(DEAR,))
    seen = Seen(users=(ClaimUser("team", "chat", 3),), pool=viewed(claim), nodes=3, nodes_by_way=(1, 2), facts=prices)
    outcome = sync_claim(claim, seen, SETTINGS, NOW)
    assert outcome.status is not None
    assert outcome.status["hourlyCost"] == "2.50"
    assert outcome.status["priorities"] == [
        {"consumption": "Spot", "nodes": 1},
        {"consumption": "OnDemand", "nodes": 2},
    ]
    unknown = sync_claim(claim, replace(seen, nodes=4), SETTINGS, NOW)
    assert unknown.status is not None
    assert "hourlyCost" not in unknown.status, "a node of nobody's way may cost anything"


@pytest.mark.parametrize(
    ("claim", "advice"),
    [
        (class_claim(LADDER[1], provisioner="ContainerAPI"), "write spec.provisioner: ComputeClass"),
        (class_claim(slice={"group": "g", "number": 0}), "write spec.provisioner: ContainerAPI"),
        (class_claim({"consumption": "Reservation", "zones": ZONES}), "write spec.reservation"),
    ],
)
def test_what_no_plan_makes_is_refused(claim: NodePoolClaim, advice: str) -> None:
    assert advice in find_flaw(claim)


async def test_a_class_is_made_once_read_and_deleted() -> None:
    shelf, claim = Shelf(), class_claim(*LADDER)
    pools, spec = open_compute_classes(shelf), pool_spec(claim, total_max=1, facts=NodeFacts())
    begun = await pools.create_pool(spec)
    assert (await pools.get_operation(begun.name)).done
    assert shelf.bodies[NAME]["kind"] == "ComputeClass"
    (view,) = await pools.list_pools()
    assert word_purchases(view.purchases) == word_purchases(spec.purchases)
    with pytest.raises(AlreadyExistsError):
        await pools.create_pool(spec)
    await pools.delete_pool(NAME)
    assert await pools.list_pools() == ()
    with pytest.raises(NotFoundError):
        await pools.delete_pool(NAME)
    with pytest.raises(CloudError, match="can't be bounded"):
        await pools.set_autoscaling(NAME, Bounds(0, 1))
    assert await pools.describe_cluster() == CLUSTER_VIEW


@pytest.mark.parametrize(
    ("refusal", "reason", "words"),
    [
        (
            Forbidden(403, "Forbidden", "computeclasses is forbidden"),
            "ComputeClassesMissing",
            "deploy/compute-class.yaml",
        ),
        (NotFound(404, "NotFound", "page not found"), "ComputeClassesMissing", "doesn't serve cloud.google.com/v1"),
        (Unreachable(0, "Unreachable", "cut"), "CloudUnavailable", "cut"),
    ],
)
async def test_a_refusal_of_the_api_server_says_what_to_do(refusal: ApiError, reason: str, words: str) -> None:
    with pytest.raises(CloudError) as raised:
        await open_compute_classes(Shelf(refusal)).list_pools()
    assert raised.value.reason == reason
    assert words in raised.value.text
    assert not raised.value.verbatim
