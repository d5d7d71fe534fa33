"""What `render` prints is what was applied, and what runs is left alone by a newer operator or catalogue."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.changed_catalogue import DEARER, FLAG
from tests.support.polling import eventually
from tests.support.stack import CHILDREN, CLAIMS, MODELS, Operator, Stack, command

from mistral_operator.api.names import API_VERSION, APPLIED_HASH_ANNOTATION
from mistral_operator.sandbox.kube import MERGE_PATCH, KubeError
from mistral_operator.sandbox.processes import ProcessGroup

KEPT_METADATA = ("name", "namespace", "labels", "annotations", "ownerReferences", "finalizers")
"""What a backup brings back of an object's metadata."""

PROFILE = {
    "provider": "GKE",
    "project": "sandbox-project",
    "location": "us-central1",
    "cluster": "sandbox",
    "zones": ["us-central1-a", "us-central1-b", "us-central1-c"],
}
"""The cluster as the simulated GKE describes it to the operator."""


@pytest.mark.parametrize("knowing", ["everything", "nothing but the model"])
async def test_render_prints_what_the_operator_applied(stack: Stack, tmp_path: Path, knowing: str) -> None:
    await stack.apply("chat", model="mistral-7b-v0.3", scaling={"maxReplicas": 2})
    await stack.expect_ready("chat")
    inputs = tmp_path / "inputs.yaml"
    profile = tmp_path / "cluster.yaml"
    profile.write_text(yaml.safe_dump(PROFILE))
    place = ("--kubeconfig", stack.sandbox.kubeconfig, "-n", stack.namespace, "--cluster-profile", profile)
    await command("status", "chat", *place, "--export-inputs", inputs)
    if knowing != "everything":
        recorded = yaml.safe_load(inputs.read_text())
        recorded |= {"children": [], "pods": [], "podEvents": [], "claims": []}
        inputs.write_text(yaml.safe_dump(recorded))
    rendered = [document for document in yaml.safe_load_all(await command("render", "--inputs", inputs)) if document]
    live = {(kind, c["metadata"]["name"]): c for kind in CHILDREN for c in await stack.children(kind)}
    ours = [document for document in rendered if document["kind"] in CHILDREN]
    # A replica is one pod here, and its weights are taken as they are published.
    assert {document["kind"] for document in ours} == set(CHILDREN) - {"Pod", "LeaderWorkerSet", "Job"}
    for document in ours:
        applied = live[document["kind"], document["metadata"]["name"]]
        # The hash is over the whole manifest as it was rendered: the same hash is the same manifest.
        assert _hash(applied) == _hash(document), document["kind"]
    (claim,) = [document for document in rendered if document["kind"] == "NodePoolClaim"]
    (applied_claim,) = await stack.claims()
    assert applied_claim["spec"] == claim["spec"]


def _hash(manifest: dict[str, Any]) -> str:
    return str(manifest["metadata"]["annotations"][APPLIED_HASH_ANNOTATION])


async def test_a_changed_catalogue_and_renderer_change_no_running_pod(stack: Stack) -> None:
    await stack.apply("chat", model="mistral-7b-v0.3")
    await stack.expect_ready("chat")
    before = await _running(stack)
    with ProcessGroup() as processes:
        changed = Operator(stack.sandbox, processes, stack.operator.kubeconfig)
        changed.module = "tests.support.changed_operator"
        await stack.operator.stop()
        changed.start()
        await stack.apply("fresh", model="mistral-7b-v0.3")
        await stack.expect_ready("fresh")
        # The changed operator is at work: what it plans anew is from its catalogue, and rendered its way.
        (fresh,) = [p for p in await stack.children("Pod") if p["metadata"]["name"].startswith("fresh")]
        assert fresh["metadata"]["annotations"]["example.com/renderer"] == "changed"
        await _expect_changed_catalogue(stack, fresh, before["template"])
        await stack.scale("chat", 2)
        await stack.expect_ready("chat", 2)
        after = await _running(stack)
        await changed.stop()
    stack.operator.start()
    assert after["template"] == before["template"]
    assert before["pods"] <= after["pods"]


async def _expect_changed_catalogue(stack: Stack, fresh: dict[str, Any], old: dict[str, Any]) -> None:
    """The fresh model differs from the one that was pinned before, in all that `change_catalogue` changes."""
    was, now = old["spec"]["containers"][0], fresh["spec"]["containers"][0]
    assert now["image"] == "example.com/vllm-gpu:v99" != was["image"]
    assert FLAG in now["args"]
    assert FLAG not in was["args"]
    plans = [(await stack.get(name))["status"]["plan"]["chosen"] for name in ("chat", "fresh")]
    assert float(plans[1]["hourlyCost"]) == pytest.approx(DEARER * float(plans[0]["hourlyCost"]))
    assert plans[1]["memoryPerDevice"]["overhead"] != plans[0]["memoryPerDevice"]["overhead"]


async def _running(stack: Stack) -> dict[str, Any]:
    (deployment,) = [d for d in await stack.children("Deployment") if d["metadata"]["name"] == "chat"]
    pods = {p["metadata"]["uid"] for p in await stack.children("Pod") if p["metadata"]["name"].startswith("chat")}
    return {"template": deployment["spec"]["template"], "pods": pods}


async def test_restored_objects_adopt_the_pool_that_runs(stack: Stack) -> None:
    """A backup brings the objects back with other uids, and the revisions with owners that are no more."""
    await stack.apply("kept", model="mistral-7b-v0.3")
    await stack.expect_ready("kept")
    before, pools = await _template(stack), await stack.pools()
    claims = [{"kind": "NodePoolClaim", "apiVersion": API_VERSION, **claim} for claim in await stack.claims()]
    revisions = [{"apiVersion": "apps/v1", **each} for each in await stack.children("ControllerRevision")]
    backup = [await stack.get("kept"), *claims, *revisions]
    created = await _count_creates(stack)
    await stack.operator.stop()
    for item in backup:
        with contextlib.suppress(KubeError):  # The garbage collector may have been faster.
            await stack.kube.request("PATCH", _path(stack, item), {"metadata": {"finalizers": None}}, MERGE_PATCH)
            await stack.kube.request("DELETE", _path(stack, item))

    async def wiped() -> bool:
        return not [item for item in backup if not await _is_gone(stack, item)]

    await eventually(wiped, 60, message="all objects are gone")
    for item in backup:
        fresh = {key: value for key, value in item["metadata"].items() if key in KEPT_METADATA}
        content = {key: value for key, value in item.items() if key != "status"}
        await stack.kube.request("POST", _path(stack, item).rpartition("/")[0], content | {"metadata": fresh})
    stack.operator.start()
    await stack.expect_ready("kept")
    await stack.expect_one_pool_per_claim()
    assert await _template(stack) == before, "no pod template changed"
    assert [pool["name"] for pool in await stack.pools()] == [pool["name"] for pool in pools]
    assert await _count_creates(stack) == created, "the pool that runs was adopted"
    assert (await stack.get("kept"))["metadata"]["uid"] != backup[0]["metadata"]["uid"]


async def _template(stack: Stack) -> dict[str, Any]:
    (deployment,) = [d for d in await stack.children("Deployment") if d["metadata"]["name"] == "kept"]
    template: dict[str, Any] = deployment["spec"]["template"]
    return template


async def _count_creates(stack: Stack) -> int:
    return sum(call["rpc"] == "CreateNodePool" for call in (await stack.gke())["calls"])


def _path(stack: Stack, item: dict[str, Any]) -> str:
    folders = {**CHILDREN, "MistralModel": MODELS, "NodePoolClaim": CLAIMS}
    return f"{folders[item['kind']].format(namespace=stack.namespace)}/{item['metadata']['name']}"


async def _is_gone(stack: Stack, item: dict[str, Any]) -> bool:
    try:
        found = await stack.kube.request("GET", _path(stack, item))
    except KubeError as error:
        return error.status == 404
    return bool(found["metadata"]["uid"] != item["metadata"]["uid"])
