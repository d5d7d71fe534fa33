"""Each limit of a class: what it lets through, and what it refuses in which words; and what a class gives."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.world import CLUSTER, SETTINGS, make_class, make_model

from mistral_operator.api.model import MistralModel
from mistral_operator.api.serving_class import EngineName
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.core.serving_class import Ruling, annotate, bound_spend, name_spend_limit, rule
from mistral_operator.core.spend import count_wanted_replicas
from mistral_operator.engines.registry import ENGINES
from mistral_operator.manifests.revision import Revision
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.types import Plan, PlanRefused
from mistral_operator.status.findings import met, unmet

CATALOGUE = load_catalogue()
MONEY = st.decimals(min_value=0, max_value=500, places=4)
MAXTEXT = {"model": "mistral-7b-v0.1", "allowExperimental": True}
MAXTEXT |= {"engine": {"type": "JetStreamMaxText", "image": "registry.example/maxtext:1"}}


def a_model(**spec: Any) -> MistralModel:
    return MistralModel.model_validate(make_model(**spec))


def judge(model: MistralModel, **spec: Any) -> Ruling:
    return rule(model, [make_class(**spec)])


def plan_in(ruling: Ruling) -> Plan | PlanRefused:
    return ruling.refused or plan_model(ruling.model, CATALOGUE, CLUSTER, SETTINGS, terms=ruling.terms)


def test_a_model_without_a_class_is_left_as_it_is() -> None:
    model = a_model()
    assert rule(model, []) == Ruling(model)
    assert rule(model, [make_class(default=False, limits={"accelerators": ["v6e"]})]) == Ruling(model)


def test_a_class_that_says_nothing_changes_nothing_but_says_its_name() -> None:
    model = a_model()
    ruling = judge(model)
    assert ruling.model == model
    assert (ruling.name, ruling.refused) == ("standard", None)
    assert annotate(ruling, met("Planned", "Well.")).message == "Well. It is under MistralServingClass standard."
    plain, planned = plan_model(model, CATALOGUE, CLUSTER, SETTINGS), plan_in(ruling)
    assert isinstance(plain, Plan)
    assert isinstance(planned, Plan)
    assert planned.options == plain.options


def test_a_named_class_goes_before_the_default() -> None:
    classes = [make_class("large", default=False), make_class("standard")]
    assert rule(a_model(servingClassName="large"), classes).name == "large"
    assert rule(a_model(), classes).name == "standard"


def test_of_two_defaults_the_newest_counts_and_the_condition_says_so() -> None:
    old = make_class("b-old", created="2026-01-01T00:00:00Z")
    new = [make_class(name, created="2026-05-01T00:00:00Z") for name in ("new", "also-new")]
    ruling = rule(a_model(), [old, *new])
    assert ruling.name == "also-new", "of one second the first by name"
    said = (
        "It is under MistralServingClass also-new, the newest of those marked as the default (also-new, b-old, new):"
        " leave only one marked."
    )
    for accepted in (met("Planned", "Well."), unmet("NothingFits", "leave it out")):
        assert annotate(ruling, accepted) == replace(accepted, message=f"{accepted.message.rstrip('.')}. {said}")
    named = rule(a_model(servingClassName="new"), [old, *new])
    assert annotate(named, met("Planned", "Well.")).message == "Well. It is under MistralServingClass new."
    refused = unmet("NothingFits", "leave it out")
    assert annotate(named, refused) == refused


@pytest.mark.parametrize(
    ("classes", "advice"),
    [([], "there is none; leave it out"), ([make_class("a"), make_class("b")], "write one of a, b, or leave it out")],
)
def test_a_class_that_is_not_there_is_named(classes: list[dict[str, Any]], advice: str) -> None:
    ruling = rule(a_model(servingClassName="gone"), classes)
    assert ruling.missing
    assert ruling.refused == PlanRefused(
        "ServingClassNotFound", f"spec.servingClassName: the cluster has no MistralServingClass gone; {advice}"
    )


def test_a_class_that_cannot_be_read_lets_nothing_be_planned() -> None:
    ruling = judge(a_model(), limits={"zones": ["Berlin"]})
    assert ruling.missing
    assert ruling.refused
    assert ruling.refused.reason == "ServingClassUnreadable"
    assert "spec.limits.zones.0" in ruling.refused.message


@pytest.mark.parametrize("allowed", [["team-a"], ["team-*"], ["*"], ["search", "*-a"], ["t*m-*a"]])
def test_a_namespace_that_is_allowed(allowed: list[str]) -> None:
    assert judge(a_model(), allowedNamespaces=allowed).refused is None


@pytest.mark.parametrize("allowed", [["team"], ["team-b", "a-*"], ["*team"]])
def test_a_namespace_that_is_not(allowed: list[str]) -> None:
    assert judge(a_model(), allowedNamespaces=allowed).refused == PlanRefused(
        "NamespaceNotAllowed",
        f"MistralServingClass standard is not for namespace team-a, only for {', '.join(allowed)}; name another class"
        " in spec.servingClassName",
    )


FIELDS = {
    "EngineImage": ({"engine": {"image": "registry.example/vllm:1"}}, "ImageNotAllowed", "spec.engine.image"),
    "EngineExtraArgs": ({"engine": {"extraArgs": ["--seed=1"]}}, "ExtraArgsNotAllowed", "spec.engine.extraArgs"),
    "EngineEnv": ({"engine": {"env": [{"name": "A", "value": "b"}]}}, "EnvNotAllowed", "spec.engine.env"),
    "Pod": ({"pod": {"labels": {"a": "b"}}}, "PodNotAllowed", "spec.pod"),
    "ServiceAccountName": ({"serviceAccountName": "a"}, "ServiceAccountNotAllowed", "spec.serviceAccountName"),
}


@pytest.mark.parametrize("field", FIELDS)
def test_a_forbidden_field_is_refused_and_all_others_pass(field: str) -> None:
    spec, reason, path = FIELDS[field]
    refused = judge(a_model(**spec), limits={"forbiddenFields": [field]}).refused
    assert refused == PlanRefused(reason, f"{path} is not allowed by MistralServingClass standard; leave it out")
    others = [name for name in FIELDS if name != field]
    assert judge(a_model(**spec), limits={"forbiddenFields": others}).refused is None
    assert judge(a_model(), limits={"forbiddenFields": list(FIELDS)}).refused is None


def test_where_pods_settings_are_forbidden_so_is_selecting_nodes() -> None:
    by_labels = {"provisioner": "Existing", "nodes": {"selector": {"team": "others"}}}
    refused = judge(a_model(capacity=by_labels), limits={"forbiddenFields": ["Pod"]}).refused
    assert refused == PlanRefused(
        "PodNotAllowed",
        "spec.capacity.nodes selects nodes as spec.pod does, and is not allowed by MistralServingClass standard; leave"
        " it out",
    )
    assert judge(a_model(capacity={"provisioner": "Existing"}), limits={"forbiddenFields": ["Pod"]}).refused is None


def test_resource_labels_are_added_key_by_key() -> None:
    defaults = {"resourceLabels": {"cost-center": "ai", "team": "platform"}}
    ruling = judge(a_model(resourceLabels={"team": "search"}), defaults=defaults)
    assert ruling.model.spec.resource_labels == {"cost-center": "ai", "team": "search"}


def test_more_labels_than_a_pool_takes_are_refused() -> None:
    given = {"resourceLabels": {f"class-{number}": "x" for number in range(20)}}
    own = {f"model-{number}": "x" for number in range(14)}
    refused = judge(a_model(resourceLabels=own), defaults=given).refused
    assert refused
    assert refused.reason == "TooManyResourceLabels"
    assert "are 34 together, and node pools get 32 at most; remove 2" in refused.message
    del own["model-0"], own["model-1"]
    assert judge(a_model(resourceLabels=own), defaults=given).refused is None


def test_a_default_image_stands_between_the_models_own_and_the_operators() -> None:
    images = [{"engine": "vllm-gpu", "image": "mirror.example/vllm:1"}, {"engine": "vllm-tpu", "image": "other:1"}]
    planned = plan_in(judge(a_model(), defaults={"images": images}))
    assert isinstance(planned, Plan)
    assert planned.chosen.image == "mirror.example/vllm:1"
    own = plan_in(judge(a_model(engine={"image": "mine:1"}), defaults={"images": images}))
    assert isinstance(own, Plan)
    assert own.chosen.image == "mine:1"


def test_a_default_image_is_for_an_engine_that_there_is() -> None:
    assert {name.value for name in EngineName} == set(ENGINES)


def test_a_checkpoint_is_kept_below_the_class_bucket_in_a_folder_of_the_models_own() -> None:
    defaults = {"weightsCache": {"uri": "gs://models/cache"}}
    planned = plan_in(judge(a_model(**MAXTEXT), defaults=defaults))
    assert isinstance(planned, Plan)
    assert (planned.checkpoint_uri, planned.converts) == ("gs://models/cache/team-a/chat", True)
    asked = {"cache": {"mode": "Bucket", "uri": "gs://mine/7b"}}
    own = plan_in(judge(a_model(**MAXTEXT, weights=asked), defaults=defaults))
    assert isinstance(own, Plan)
    assert own.checkpoint_uri == "gs://mine/7b"
    ready = plan_in(judge(a_model(**MAXTEXT, weights={"gcs": {"uri": "gs://mine/items"}}), defaults=defaults))
    assert isinstance(ready, Plan)
    assert not ready.converts
    assert judge(a_model(), defaults=defaults).model.spec.weights is None, "vLLM loads a repository"


def _bound(limit: str | None, *, own: str | None = None, **known: Any) -> tuple[int, Decimal | None]:
    """Replicas and limit in dollars of a model with 4 replicas."""
    model = a_model(replicas=4, **({"capacity": {"maxHourlyCost": own}} if own else {}))
    plan = plan_model(a_model(), CATALOGUE, CLUSTER, SETTINGS)
    assert isinstance(plan, Plan)
    ruling = judge(model, limits={"maxHourlyCost": limit} if limit else {})
    bounded = bound_spend(
        ruling, model, plan, **({"accepted": True, "pinned": True, "standing": 0, "current": True} | known)
    )
    capacity = bounded.spec.capacity
    written = capacity.max_hourly_cost if capacity else None
    return bounded.spec.replicas, None if written is None else Decimal(written)


def test_the_lower_limit_holds() -> None:
    assert _bound(None) == (4, None)
    assert _bound("2.00") == (4, Decimal("2.00"))
    assert _bound("2.00", own="9") == (4, Decimal("2.00"))
    assert _bound("2.00", own="1.5") == (4, Decimal("1.5"))


def test_what_stands_of_a_pinned_plan_stays_and_a_new_plan_gets_what_the_class_pays_for() -> None:
    price = plan_in(Ruling(a_model()))
    assert isinstance(price, Plan)
    hourly = price.chosen.hourly_cost
    assert hourly
    assert _bound("1.00", standing=3) == (4, 3 * hourly)
    assert _bound("1.00", standing=3, pinned=False) == (4, Decimal("1.00"))
    assert _bound("1.00", standing=3, current=False) == (4, Decimal("1.00")), "three of a cheaper plan"
    assert _bound("1.00", standing=3, own="2.00") == (4, Decimal("2.00")), "a model's own limit is never raised"


@given(
    limit=MONEY, own=st.none() | MONEY, price=st.none() | MONEY, wanted=st.integers(0, 50), standing=st.integers(0, 50)
)
def test_replicas_cost_no_more_than_the_limit_or_than_what_stands(
    limit: Decimal, own: Decimal | None, price: Decimal | None, wanted: int, standing: int
) -> None:
    model = a_model(replicas=wanted, **({"capacity": {"maxHourlyCost": f"{own:f}"}} if own is not None else {}))
    plan = plan_in(Ruling(a_model()))
    assert isinstance(plan, Plan)
    plan = replace(plan, options=(replace(plan.chosen, hourly_cost=price),))
    ruling = judge(model, limits={"maxHourlyCost": f"{limit:f}"})
    bounded = bound_spend(ruling, model, plan, accepted=True, pinned=True, standing=standing, current=True)
    count = count_wanted_replicas(bounded, Revision("hash", 1, plan, {}))
    assert count <= wanted
    if price is None:
        assert count <= standing
        return
    assert count * price <= max(limit, standing * price)
    assert own is None or count * price <= own
    if own is None and wanted <= standing:
        assert count == wanted, "nothing that stands is taken away"


def test_a_class_that_is_not_for_the_model_gives_it_no_more_replicas() -> None:
    """Otherwise to name another class would be a way out of a limit."""
    model = a_model(replicas=4, servingClassName="gone")
    plan = plan_in(Ruling(a_model()))
    assert isinstance(plan, Plan)
    bounded = bound_spend(rule(model, []), model, plan, accepted=False, pinned=True, standing=2, current=True)
    assert bounded.spec.replicas == 2


def test_the_limit_that_binds_is_the_one_that_is_named() -> None:
    model = a_model(capacity={"maxHourlyCost": "5"})
    assert name_spend_limit(Ruling(model), model) == "spec.capacity.maxHourlyCost"
    assert name_spend_limit(judge(model, limits={"maxHourlyCost": "9"}), model) == "spec.capacity.maxHourlyCost"
    named = name_spend_limit(judge(model, limits={"maxHourlyCost": "4"}), model)
    assert named == "limits.maxHourlyCost of MistralServingClass standard"
