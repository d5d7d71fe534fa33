"""What becomes of a claim on nodes that are there."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.claim_cases import CHAT, DELETED, NOW, SETTINGS, claim_body
from tests.support.node_cases import a_group, a_node, gke_labels, nvidia_labels
from tests.support.world import CLUSTER, make_model
from tests.support.world import SETTINGS as PLAN_SETTINGS

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.api.model import MistralModel
from mistral_operator.capacity.claims.existing import sync_existing
from mistral_operator.capacity.claims.types import ClaimOutcome, DeleteClaim, RemoveFinalizer, Seen
from mistral_operator.capacity.preflight.facts import describe_rungs
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.controller.existing_nodes import read_node
from mistral_operator.planning.nodes import Taint
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.types import Plan, Provisioner

Json = dict[str, Any]
L4 = {"cloud.google.com/gke-accelerator": "nvidia-l4"}
DEDICATED = Taint("dedicated", "search")


def terms_of(selector: dict[str, str] | None = None, zones: tuple[str, ...] = (), **nodes: Any) -> Json:
    """What the spec of a claim on nodes has that those of others don't."""
    requests = {"cpu": "10", "memory": "40Gi", "nvidia.com/gpu": "1"}
    wanted = {"selector": L4 if selector is None else selector, "requests": requests, **nodes}
    return {"provisioner": "Existing", "zones": list(zones), "nodes": wanted}


def outcome_of(
    *nodes: Json, users: bool = True, consumption: str = "OnDemand", metadata: Json | None = None, **terms: Any
) -> ClaimOutcome:
    body = claim_body(consumption=consumption, terms=terms_of(**terms), **{"finalizers": [], **(metadata or {})})
    seen = Seen(users=(CHAT,) if users else ())
    claim = NodePoolClaim.model_validate(body)
    return sync_existing(claim, tuple(map(read_node, nodes)), seen, SETTINGS, NOW)


def ready(outcome: ClaimOutcome) -> Json:
    assert outcome.status is not None
    found: Json = next(item for item in outcome.status["conditions"] if item["type"] == "Ready")
    return found


def test_a_node_that_matches_and_fits_makes_it_ready() -> None:
    outcome = outcome_of(a_node("a"), a_node("b"), a_node("c", devices=0))
    assert (ready(outcome)["status"], ready(outcome)["reason"]) == ("True", "NodesFit")
    assert ready(outcome)["message"].startswith("Pods fit on a, b.")
    assert outcome.action is None
    assert outcome.status is not None
    assert outcome.status["nodes"] == {"current": 2}
    assert "poolName" not in outcome.status
    assert "hourlyCost" not in outcome.status
    assert outcome.requeue_after_s == SETTINGS.resync_s


def test_nothing_is_held_and_nothing_is_deleted_but_the_claim() -> None:
    assert outcome_of(a_node()).action is None
    assert outcome_of(a_node(), users=False).action == DeleteClaim()
    assert outcome_of(a_node(), metadata=DELETED).action is None
    held = {**DELETED, "finalizers": ["serving.mistral-operator.dev/node-pool"]}
    assert outcome_of(a_node(), metadata=held).action == RemoveFinalizer()


@pytest.mark.parametrize(
    ("nodes", "terms", "words"),
    [
        ((), {}, "No node has cloud.google.com/gke-accelerator=nvidia-l4"),
        (
            (a_node("a", nvidia_labels()), a_node("b")),
            {"selector": {**L4, "team": "search"}},
            "Node b lacks only that: `kubectl label node b team=search` if it may be used.",
        ),
        ((a_node("a", nvidia_labels()),), {}, "A pool that may grow from 0 nodes brings some for pending pods."),
        ((a_node(),), {"zones": ("us-central1-b",)}, "No node in us-central1-b has"),
        (
            (a_node("a", gke_labels(**{"serving.mistral-operator.dev/shape": "g2-standard-12-od-0123456789"})),),
            {},
            "isn't of a pool that the operator made",
        ),
        ((a_node("a", gke_labels(**{"cloud.google.com/gke-spot": "true"})),), {}, "No node has"),
    ],
)
def test_where_no_node_matches_it_says_what_is_missing(nodes: tuple[Json, ...], terms: Json, words: str) -> None:
    outcome = outcome_of(*nodes, **terms)
    assert (ready(outcome)["status"], ready(outcome)["reason"]) == ("False", "NoNodesMatch")
    assert words in ready(outcome)["message"]


def test_spot_nodes_are_for_those_who_asked_for_them() -> None:
    spot = a_node("a", gke_labels(**{"cloud.google.com/gke-spot": "true"}))
    selector = {**L4, "cloud.google.com/gke-spot": "true"}
    assert ready(outcome_of(spot, consumption="Spot", selector=selector))["reason"] == "NodesFit"


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (a_node("a", devices=0), "a leaves nvidia.com/gpu 0 to pods, and one asks for 1"),
        (a_node("a", memory="30Gi"), "a leaves memory 30Gi to pods, and one asks for 40Gi"),
        (a_node("a", cpu="7910m"), "a leaves cpu 7910m to pods, and one asks for 10"),
        (a_node("a", None, DEDICATED), "a has the taint dedicated=search:NoSchedule, which spec.pod.tolerations"),
        (a_node("a", None, Taint("node.kubernetes.io/unschedulable")), "a has the taint node.kubernetes.io/"),
        (a_node("a", ready=False), "a isn't ready"),
        (a_node("a", memory="much"), "a leaves memory 0 to pods"),
    ],
)
def test_where_none_fits_the_figures_are_told(node: Json, words: str) -> None:
    outcome = outcome_of(node)
    assert (ready(outcome)["status"], ready(outcome)["reason"]) == ("False", "NodesDontFit")
    assert words in ready(outcome)["message"]


def test_a_few_of_many_are_told() -> None:
    message = ready(outcome_of(*(a_node(name, devices=0) for name in "abcde")))["message"]
    assert message.startswith("None of the 5 nodes that match fits a pod: a leaves")
    assert message.endswith("; and 2 others.")


@pytest.mark.parametrize(
    "toleration",
    [
        {"key": "dedicated", "operator": "Exists"},
        {"key": "dedicated", "value": "search", "effect": "NoSchedule"},
        {"operator": "Exists"},
    ],
)
def test_taints_that_are_tolerated_are_no_obstacle(toleration: Json) -> None:
    assert ready(outcome_of(a_node("a", None, DEDICATED), tolerations=[toleration]))["reason"] == "NodesFit"


@pytest.mark.parametrize(
    "toleration",
    [{"key": "dedicated", "value": "other"}, {"key": "dedicated", "operator": "Exists", "effect": "NoExecute"}],
)
def test_others_are(toleration: Json) -> None:
    assert ready(outcome_of(a_node("a", None, DEDICATED), tolerations=[toleration]))["reason"] == "NodesDontFit"


CACHE = "projects/team/global/images/vllm"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"slice": {"group": "g", "number": 0}}, "write provisioner: ContainerAPI"),
        ({"imageCache": CACHE}, "spec.imageCache is for nodes that are made"),
        (
            {"alternatives": [{"consumption": "Spot", "zones": ["us-central1-a"]}]},
            "spec.alternatives are ways to buy nodes",
        ),
    ],
)
def test_what_is_only_for_nodes_that_are_made_is_refused(asked: Json, words: str) -> None:
    terms = {**terms_of(), **asked}
    claim = NodePoolClaim.model_validate(claim_body(terms=terms, finalizers=[]))
    outcome = sync_existing(claim, (), Seen(users=(CHAT,)), SETTINGS, NOW)
    assert ready(outcome)["reason"] == "InvalidClaim"
    assert words in ready(outcome)["message"]


def test_google_is_asked_nothing_about_nodes_that_are_there() -> None:
    cluster = replace(CLUSTER, provisioners=tuple(Provisioner), nodes=(a_group(),))
    model = MistralModel.model_validate(make_model(capacity={"provisioner": "Existing"}))
    catalogue = load_catalogue()
    plan = plan_model(model, catalogue, cluster, PLAN_SETTINGS)
    assert isinstance(plan, Plan)
    assert describe_rungs(model, plan, catalogue) == ()
