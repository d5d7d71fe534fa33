"""One life in which the operator meets nearly everything that it needs a right for, with the rights that it has.

tests/rights compares the rights with what all tests together used.
"""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.support.kubectl import kubectl
from tests.support.light_stack import light_stack
from tests.support.operator_account import read_manifests
from tests.support.polling import eventually
from tests.support.rights import Right, read_rights, read_use
from tests.support.stack import CHILDREN, Stack

from mistral_operator.api.names import MODEL_LABEL
from mistral_operator.sandbox.control_plane import ControlPlane

pytestmark = pytest.mark.cluster

MODEL = "mistral-7b-v0.3"
API = {"HorizontalPodAutoscaler": "autoscaling/v2", "PodDisruptionBudget": "policy/v1", "Deployment": "apps/v1"}
CONVERTED: dict[str, Any] = {
    "model": "mistral-7b-v0.1",
    "allowExperimental": True,
    "engine": {"type": "JetStreamMaxText", "image": "registry.example/jetstream-maxtext:1"},
    "weights": {"cache": {"mode": "Bucket", "uri": "gs://models/mistral"}},
}
PODS = {"metadata": {"labels": {"app": "other"}}, "spec": {"containers": [{"name": "other", "image": "other"}]}}
SPECS: dict[str, dict[str, Any]] = {
    "HorizontalPodAutoscaler": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "other"},
        "maxReplicas": 9,
    },
    "PodDisruptionBudget": {"minAvailable": 1, "selector": {"matchLabels": {"app": "other"}}},
    "Deployment": {"replicas": 0, "selector": {"matchLabels": {"app": "other"}}, "template": PODS},
    "Service": {"ports": [{"port": 1}]},
    "Job": {"suspend": True, "template": {"spec": {**PODS["spec"], "restartPolicy": "Never"}}},
}


async def test_a_life_uses_the_rights_and_needs_no_others(tmp_path: Path) -> None:
    async with light_stack(tmp_path / "sandbox") as (stack, plane):
        stack.operator.env = {"MISTRAL_OPERATOR_RUN_LEADER_ELECT": "true"}
        stack.operator.start()
        await serve_scale_and_roll_out(stack, plane)
        await meet_taken_names(stack)
        await remove_what_an_older_version_made(stack)
        await stack.delete("chat")
        await stack.expect_no_trace()
        await stack.operator.stop()
        use = read_use(plane.audit_log, "this test's sandbox")
        log = stack.operator.log(2000)
    assert use.refused == ()
    assert "forbidden" not in log.lower()
    roles = [manifest for manifest in read_manifests() if "rules" in manifest]
    granted = {right for role in roles for right in read_rights(role)}
    assert use.used <= granted
    assert granted - use.used <= {right for right in granted if _is_used_by_others(right)}


def _is_used_by_others(right: Right) -> bool:
    """Of slices, of ComputeClasses, and of pods whose nodes end: tests of their own use these."""
    return right.resource in ("leaderworkersets", "computeclasses") or (right.resource, right.verb) == ("pods", "patch")


async def serve_scale_and_roll_out(stack: Stack, plane: ControlPlane) -> None:
    """And put right what somebody broke."""
    await stack.apply("chat", model=MODEL, scaling={"maxReplicas": 2})
    await stack.expect_ready("chat")
    assert await stack.children("HorizontalPodAutoscaler")
    (first,) = await stack.children("ControllerRevision")
    await stack.scale("chat", 2)
    await stack.expect_ready("chat", replicas=2)
    await stack.apply("chat", model=MODEL, engine={"contextLength": 8192})

    async def rolled_out() -> bool:
        names = [revision["metadata"]["name"] for revision in await stack.children("ControllerRevision")]
        scalers = await stack.children("HorizontalPodAutoscaler")
        return len(names) == 1 and first["metadata"]["name"] not in names and not scalers

    await eventually(rolled_out, 60, stack.story)
    await stack.expect_ready("chat", replicas=2)
    removed = await kubectl(plane, "delete", "service", "chat", "-n", stack.namespace)
    assert removed.code == 0, removed.errors
    await eventually(lambda: stack.children("Service"), 60, stack.story)


async def meet_taken_names(stack: Stack) -> None:
    """Strangers have what a model needs: each kind is looked at before it would be taken over."""
    for kind in API:
        name = f"taken-{kind.lower()[:3]}"
        await _create(stack, kind, {"name": name}, apiVersion=API[kind], spec=SPECS[kind])
        await stack.apply(name, model=MODEL, replicas=0, scaling={"maxReplicas": 2})
        await stack.expect(name, "Stalled", "True", "NameTaken")
        await stack.delete(name)
        await stack.kube.delete(f"{CHILDREN[kind].format(namespace=stack.namespace)}/{name}")
    await meet_taken_children(stack)


async def meet_taken_children(stack: Stack) -> None:
    """The same for what is named after a revision: known once the model has been there before."""
    await stack.apply("again", **CONVERTED)
    await stack.expect("again", "WeightsReady", "False", "Converting")
    await eventually(lambda: stack.children("Job"), 60, stack.story)
    content: dict[str, dict[str, Any]] = {
        "ControllerRevision": {"apiVersion": "apps/v1", "revision": 1, "data": {"a": "b"}},
        "Job": {"apiVersion": "batch/v1", "spec": SPECS["Job"]},
    }
    names = {kind: _find_name(await stack.children(kind), "again") for kind in content}
    await stack.delete("again")
    for kind, name in names.items():
        path = f"{CHILDREN[kind].format(namespace=stack.namespace)}/{name}"
        await eventually(partial(_is_gone, stack, path), 60, stack.story)
        await _create(stack, kind, {"name": name}, **content[kind])
        await stack.apply("again", **CONVERTED)
        await stack.expect("again", "Stalled", "True", "NameTaken")
        await stack.delete("again")
        await stack.kube.delete(path, propagation="Background")


async def remove_what_an_older_version_made(stack: Stack) -> None:
    """What a model owns and this version doesn't render, the operator removes."""
    uid = (await stack.get("chat"))["metadata"]["uid"]
    owner = {"apiVersion": "serving.mistral-operator.dev/v1alpha1", "kind": "MistralModel", "name": "chat", "uid": uid}
    metadata = {"name": "former", "labels": {MODEL_LABEL: "chat"}, "ownerReferences": [{**owner, "controller": True}]}
    kinds = {"Service": "v1", "Deployment": "apps/v1", "PodDisruptionBudget": "policy/v1", "Job": "batch/v1"}
    for kind, version in kinds.items():
        await _create(stack, kind, metadata, apiVersion=version, spec=SPECS[kind])

    async def removed() -> bool:
        left = [child for kind in kinds for child in await stack.children(kind)]
        return "former" not in [child["metadata"]["name"] for child in left]

    await eventually(removed, 60, stack.story)


async def _create(stack: Stack, kind: str, metadata: dict[str, Any], **content: Any) -> None:
    path = CHILDREN[kind].format(namespace=stack.namespace)
    await stack.kube.create(path, {"kind": kind, "metadata": metadata, **content})


async def _is_gone(stack: Stack, path: str) -> bool:
    return await stack.kube.get(path) is None


def _find_name(children: list[dict[str, Any]], model: str) -> str:
    """The only one of that model."""
    (name,) = [c["metadata"]["name"] for c in children if c["metadata"]["labels"].get(MODEL_LABEL) == model]
    return str(name)
