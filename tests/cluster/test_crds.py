"""The CRDs on a real API server: they install without a warning, and refuse what they should in their own words."""

from pathlib import Path
from typing import Any

import pytest
from tests.support import class_cases
from tests.support.kubectl import kubectl
from tests.support.model_cases import BROKEN_FIELDS, BROKEN_RULES, UNKNOWN_FIELDS, VALID, model

from mistral_operator.api.names import (
    API_VERSION,
    CLAIM_KIND,
    CLAIM_PLURAL,
    CLASS_PLURAL,
    DEFAULT_CLASS_ANNOTATION,
    MODEL_PLURAL,
)
from mistral_operator.sandbox.control_plane import ControlPlane
from mistral_operator.sandbox.kube import Kube, KubeError

pytestmark = pytest.mark.usefixtures("crds")

CLAIMS = f"/apis/{API_VERSION}/{CLAIM_PLURAL}"
CLASSES = f"/apis/{API_VERSION}/{CLASS_PLURAL}"
DRY_RUN = {"dryRun": "All", "fieldValidation": "Strict"}
CONDITION = {
    "type": "Ready",
    "status": "False",
    "reason": "ReplicasMissing",
    "message": "0 of 1 replicas are ready.",
    "lastTransitionTime": "2026-01-02T03:04:05Z",
    "observedGeneration": 1,
}


def models(namespace: str) -> str:
    return f"/apis/{API_VERSION}/namespaces/{namespace}/{MODEL_PLURAL}"


def claim(name: str = "g2-standard-8-spot-0123456789", **spec: Any) -> dict[str, Any]:
    shape = {"machineType": "g2-standard-8", "accelerator": {"type": "nvidia-l4", "count": 1}}
    whole = {"shape": shape, "consumption": "Spot", "zones": ["us-central1-a"], "tenant": "team-a"} | spec
    return {"apiVersion": API_VERSION, "kind": CLAIM_KIND, "metadata": {"name": name}, "spec": whole}


async def test_they_install_by_plain_kubectl_apply_without_a_warning(cluster: ControlPlane, crds: Path) -> None:
    applied = await kubectl(cluster, "apply", "--force-conflicts", "--server-side", "--validate=strict", "-f", crds)
    assert (applied.code, applied.errors) == (0, ""), applied.errors
    created = await kubectl(cluster, "create", "--dry-run=server", "--save-config", "-f", crds)
    assert "Warning" not in created.errors
    assert "Too long" not in created.errors


async def test_their_schemas_are_structural_and_their_names_accepted(kube: Kube) -> None:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for plural in (MODEL_PLURAL, CLAIM_PLURAL, CLASS_PLURAL):
        crd = await kube.get(f"{path}/{plural}.serving.mistral-operator.dev")
        assert crd is not None
        found = {condition["type"]: condition["status"] for condition in crd["status"]["conditions"]}
        assert found.get("Established") == "True"
        assert found.get("NamesAccepted") == "True"
        assert found.get("NonStructuralSchema", "False") == "False"


@pytest.mark.parametrize(("raw", "words"), BROKEN_RULES.values(), ids=BROKEN_RULES)
async def test_a_broken_rule_is_refused_with_its_message(kube: Kube, raw: dict[str, Any], words: str) -> None:
    with pytest.raises(KubeError) as refused:
        await kube.create(models("default"), raw, DRY_RUN)
    assert (refused.value.status, refused.value.reason) == (422, "Invalid")
    assert words in refused.value.message


@pytest.mark.parametrize("raw", VALID.values(), ids=VALID)
async def test_what_is_right_is_taken(kube: Kube, raw: dict[str, Any]) -> None:
    assert (await kube.create(models("default"), raw, DRY_RUN))["spec"]["model"] == raw["spec"]["model"]


@pytest.mark.parametrize(("raw", "path"), BROKEN_FIELDS.values(), ids=BROKEN_FIELDS)
async def test_a_malformed_field_is_refused_by_its_path(kube: Kube, raw: dict[str, Any], path: str) -> None:
    with pytest.raises(KubeError) as refused:
        await kube.create(models("default"), raw, DRY_RUN)
    assert refused.value.status in (400, 422)
    assert path in refused.value.message


@pytest.mark.parametrize(("raw", "path"), UNKNOWN_FIELDS.values(), ids=UNKNOWN_FIELDS)
async def test_an_unknown_field_is_refused(kube: Kube, raw: dict[str, Any], path: str) -> None:
    with pytest.raises(KubeError, match="unknown field") as refused:
        await kube.create(models("default"), raw, DRY_RUN)
    assert path in refused.value.message


async def test_an_unknown_field_is_refused_by_server_side_apply(kube: Kube, namespace: str) -> None:
    raw = model({"modle": "x"})
    with pytest.raises(KubeError, match="field not declared in schema"):
        await kube.apply(f"{models(namespace)}/chat", raw, "test")


async def test_a_claim_with_a_name_too_long_for_a_node_pool_is_refused(kube: Kube) -> None:
    with pytest.raises(KubeError, match="at most 37 characters"):
        await kube.create(CLAIMS, claim("a" * 38), DRY_RUN)
    with pytest.raises(KubeError, match="keys of resourceLabels begin with"):
        await kube.create(CLAIMS, claim(resourceLabels={"Team": "x"}), DRY_RUN)
    assert (await kube.create(CLAIMS, claim("a" * 37, resourceLabels={"team": "x"}), DRY_RUN))["kind"] == CLAIM_KIND


async def test_a_claim_asks_for_the_same_as_long_as_it_is_there(kube: Kube) -> None:
    made = claim("held-0123456789", resourceLabels={"team": "x"}, zones=["us-central1-b", "us-central1-a"])
    path = f"{CLAIMS}/held-0123456789"
    await kube.apply(path, made, "test")
    try:
        with pytest.raises(KubeError, match="spec can't be changed"):
            await kube.apply(path, {**made, "spec": {**made["spec"], "tenant": "team-b"}}, "test")
        with pytest.raises(KubeError, match="spec can't be changed"):
            await kube.merge_patch(path, {"spec": {"resourceLabels": {"team": "y"}}})
        labelled = {**made, "metadata": {**made["metadata"], "labels": {"a": "b"}}}
        assert (await kube.apply(path, labelled, "test"))["metadata"]["labels"] == {"a": "b"}
    finally:
        await kube.delete(path)


async def test_scale_works_with_replicas_left_out(kube: Kube, namespace: str) -> None:
    created = await kube.create(models(namespace), model())
    assert created["spec"]["replicas"] == 1
    scale = await kube.request("GET", f"{models(namespace)}/chat/scale")
    assert scale["spec"]["replicas"] == 1
    assert scale["status"]["replicas"] == 0
    await kube.merge_patch(f"{models(namespace)}/chat/scale", {"spec": {"replicas": 3}})
    await kube.merge_patch(f"{models(namespace)}/chat/status", {"status": {"replicas": 2, "selector": "role=leader"}})
    scale = await kube.request("GET", f"{models(namespace)}/chat/scale")
    assert scale["spec"]["replicas"] == 3
    assert scale["status"] == {"replicas": 2, "selector": "role=leader"}


async def test_the_status_is_a_part_of_its_own(kube: Kube, namespace: str) -> None:
    await kube.create(models(namespace), model())
    status = {"conditions": [CONDITION], "summary": {"ready": "0/1"}}
    body = {"apiVersion": API_VERSION, "kind": "MistralModel", "status": status}
    written = await kube.apply(f"{models(namespace)}/chat/status", body, "mistral-operator-status")
    assert written["status"] == status
    assert written["metadata"]["generation"] == 1


async def test_kubectl_shows_the_columns(cluster: ControlPlane, kube: Kube, namespace: str) -> None:
    await kube.create(models(namespace), model())
    summary = {"ready": "1/2", "hardware": "1x nvidia-l4", "hourlyCost": "0.85", "reason": "Serving"}
    endpoint = {"url": "http://chat.team-a.svc:8000/v1"}
    await kube.merge_patch(f"{models(namespace)}/chat/status", {"status": {"summary": summary, "endpoint": endpoint}})
    short = await kubectl(cluster, "get", "mm", "-n", namespace)
    wide = await kubectl(cluster, "get", "mistral", "-n", namespace, "-o", "wide")
    assert short.output.split("\n")[0].split() == ["NAME", "READY", "HARDWARE", "COST/H", "REASON", "AGE"]
    assert all(text in short.output for text in summary.values())
    assert {"MODEL", "ENDPOINT"} <= set(wide.output.split())
    assert "mistral-7b-v0.3" in wide.output
    assert endpoint["url"] in wide.output


async def test_kubectl_explains_the_fields(cluster: ControlPlane) -> None:
    explained = await kubectl(cluster, "explain", "mistralmodels.spec.capacity.options")
    assert "order of preference" in explained.output, explained.errors
    assert "consumption" in explained.output


@pytest.mark.parametrize(
    ("raw", "words"),
    (class_cases.BROKEN_RULES | class_cases.BROKEN_FIELDS | class_cases.UNKNOWN_FIELDS).values(),
    ids=class_cases.BROKEN_RULES | class_cases.BROKEN_FIELDS | class_cases.UNKNOWN_FIELDS,
)
async def test_a_class_that_is_wrong_is_refused_as_it_is_offline(kube: Kube, raw: dict[str, Any], words: str) -> None:
    with pytest.raises(KubeError) as refused:
        await kube.create(CLASSES, raw, DRY_RUN)
    assert refused.value.status in (400, 422)
    assert words in refused.value.message


@pytest.mark.parametrize("raw", class_cases.VALID.values(), ids=class_cases.VALID)
async def test_a_class_that_is_right_is_taken_as_it_is(kube: Kube, raw: dict[str, Any]) -> None:
    assert (await kube.create(CLASSES, raw, DRY_RUN))["spec"] == raw["spec"]


async def test_kubectl_shows_which_class_is_the_default(cluster: ControlPlane, kube: Kube) -> None:
    made = class_cases.limits(accelerators=["l4", "v6e"], consumption=["Spot"], maxHourlyCost="12.50")
    made["metadata"] |= {"annotations": {DEFAULT_CLASS_ANNOTATION: "true"}}
    await kube.create(CLASSES, made)
    try:
        shown = await kubectl(cluster, "get", "msc", "standard")
        head, row = shown.output.strip().split("\n")
        assert head.split() == ["NAME", "DEFAULT", "ACCELERATORS", "CONSUMPTION", "MAXCOST/H", "AGE"]
        assert row.split()[:5] == ["standard", "true", '["l4","v6e"]', '["Spot"]', "12.50"]
    finally:
        await kube.delete(f"{CLASSES}/standard")
