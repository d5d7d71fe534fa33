"""Serving classes on a real control plane: applied, refused, changed, taken away, and not there at all."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.class_cases import serving_class
from tests.support.light_stack import light_stack
from tests.support.polling import eventually, observe_for
from tests.support.running_sandbox import CRDS
from tests.support.stack import Stack, command

from mistral_operator.api.names import API_VERSION, CLASS_PLURAL, DEFAULT_CLASS_ANNOTATION, GROUP
from mistral_operator.sandbox.crds import install_crds
from mistral_operator.sandbox.kube import APPLY_PATCH

CLASSES = f"/apis/{API_VERSION}/{CLASS_PLURAL}"
CHAT = {"model": "mistral-7b-v0.3"}
Json = dict[str, Any]


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """A cluster of its own, because a default class concerns every namespace; the operator runs."""
    async with light_stack(tmp_path / "sandbox") as (stack, _):
        stack.operator.start()
        yield stack


async def set_class(stack: Stack, name: str = "standard", *, default: bool = True, **spec: Any) -> None:
    body = serving_class(name, **spec)
    body["metadata"] |= {"annotations": {DEFAULT_CLASS_ANNOTATION: str(default).lower()}}
    params = {"fieldManager": "platform", "force": "true", "fieldValidation": "Strict"}
    await stack.kube.request("PATCH", f"{CLASSES}/{name}", body, APPLY_PATCH, params)


async def running(stack: Stack) -> Json:
    """What must not change as long as what runs is left alone."""
    pods = {pod["metadata"]["uid"] for pod in await stack.children("Pod")}
    templates = {item["metadata"]["name"]: item["spec"]["template"] for item in await stack.children("Deployment")}
    return {"pods": pods, "templates": templates, "claims": [claim["spec"] for claim in await stack.claims()]}


async def test_a_model_is_planned_within_the_default_class_and_render_says_the_same(
    stack: Stack, tmp_path: Path
) -> None:
    limits = {"accelerators": ["l4"], "consumption": ["Spot"], "zones": ["us-central1-b"], "maxHourlyCost": "1.00"}
    caches = [{"engine": "vllm-gpu", "diskImage": "projects/images-of-ours/global/images/vllm-gpu-1"}]
    defaults = {"resourceLabels": {"cost-center": "ai"}, "imageCaches": caches}
    await set_class(stack, limits=limits, defaults=defaults)
    await set_class(stack, "large", default=False)
    await stack.apply("chat", **CHAT, replicas=3)
    await stack.expect_ready("chat", 2)
    model = await stack.get("chat")
    assert model["status"]["servingClassName"] == "standard"
    assert "under MistralServingClass standard" in (await stack.condition("chat", "Accepted"))["message"]
    degraded = await stack.condition("chat", "Degraded")
    assert degraded["message"].startswith("limits.maxHourlyCost of MistralServingClass standard pays for 2 of 3")
    (claim,) = await stack.claims()
    assert (claim["spec"]["consumption"], claim["spec"]["zones"]) == ("Spot", ["us-central1-b"])
    (pool,) = await stack.pools()
    assert pool["message"]["config"]["resource_labels"]["cost-center"] == "ai"
    disks = [{"mode": "CONTAINER_IMAGE_CACHE", "disk_image": "projects/images-of-ours/global/images/vllm-gpu-1"}]
    assert pool["message"]["config"]["secondary_boot_disks"] == disks

    inputs = tmp_path / "inputs.yaml"
    place = ("--kubeconfig", stack.sandbox.kubeconfig, "-n", stack.namespace)
    await command("status", "chat", *place, "--export-inputs", inputs)
    recorded = yaml.safe_load(inputs.read_text())
    assert [item["metadata"]["name"] for item in recorded["servingClasses"]] == ["large", "standard"]
    inputs.write_text(yaml.safe_dump(recorded | {"children": [], "pods": [], "podEvents": [], "claims": []}))
    rendered = list(yaml.safe_load_all(await command("render", "--inputs", inputs)))
    assert [item["spec"] for item in rendered if item and item["kind"] == "NodePoolClaim"] == [claim["spec"]]


async def test_what_runs_stays_when_the_class_changes_and_goes_and_new_plans_obey(stack: Stack) -> None:
    await stack.apply("chat", **CHAT)
    await stack.expect_ready("chat")
    before = await running(stack)
    await set_class(stack, limits={"accelerators": ["a100-40"]})
    told = await stack.expect("chat", "Degraded", "True", "OutsideServingClass")
    assert "MistralServingClass standard allows only a100-40" in told["message"]
    await stack.expect("chat", "Ready", "True")
    assert await running(stack) == before

    await stack.apply("fresh", **CHAT)
    await eventually(lambda: _machine_of(stack, "fresh", "a2-highgpu-1g"), 60, stack.story)
    await stack.apply("pinned", **CHAT, capacity={"options": [{"accelerator": "l4"}]})
    refused = await stack.expect("pinned", "Accepted", "False", "AcceleratorNotAllowed")
    assert "MistralServingClass standard allows the accelerators a100-40" in refused["message"]

    await stack.kube.delete(f"{CLASSES}/standard")
    await stack.expect("chat", "Degraded", "False", "AsWanted")
    await stack.expect("pinned", "Accepted", "True", "Planned")
    await stack.expect_ready("pinned")
    after = await running(stack)
    assert before["pods"] <= after["pods"]
    assert before["templates"].items() <= after["templates"].items()


async def test_a_class_that_is_named_and_not_there_is_waited_for(stack: Stack) -> None:
    await set_class(stack, "other", default=False, allowedNamespaces=["team-b"])
    await stack.apply("chat", **CHAT, servingClassName="large")
    refused = await stack.expect("chat", "Accepted", "False", "ServingClassNotFound")
    assert "write one of other, or leave it out" in refused["message"]
    assert not await stack.claims()
    await set_class(stack, "large", default=False)
    await stack.expect_ready("chat")
    before = await running(stack)
    await stack.apply("chat", **CHAT, servingClassName="other", replicas=2)
    await stack.expect("chat", "Accepted", "False", "NamespaceNotAllowed")
    assert await running(stack) == before


async def test_a_budget_is_shared_by_priority_and_whoever_waits_is_served_when_another_goes(stack: Stack) -> None:
    await set_class(stack, limits={"maxTotalHourlyCost": "1.50"})
    await stack.apply("first", **CHAT)
    await stack.expect_ready("first")
    await stack.apply("low", **CHAT, replicas=2)
    await stack.expect("low", "Ready", "False", "WaitsInLine")
    await stack.apply("high", **CHAT, capacity={"priority": 10})
    await stack.expect("high", "Ready", "False", "WaitsInLine")
    budget = "the budget of MistralServingClass standard"
    assert (await stack.get("high"))["status"]["capacity"]["queue"] == {"position": 1, "of": 2, "for": budget}
    place = ("--kubeconfig", stack.sandbox.kubeconfig, "-n", stack.namespace)
    assert f"1 of 2, for {budget}" in " ".join((await command("status", "high", *place)).split())
    assert len(await stack.children("Pod")) == 1
    await stack.operator.kill()
    stack.operator.start()
    await stack.delete("first")
    await stack.expect_ready("high")
    assert "queue" not in (await stack.get("high"))["status"]["capacity"]

    async def alone_in_line() -> bool:
        queue = (await stack.get("low"))["status"]["capacity"].get("queue", {})
        return (queue.get("position"), queue.get("of")) == (1, 1)

    await eventually(alone_in_line, 30, stack.story)
    assert {pod["metadata"]["labels"]["app.kubernetes.io/instance"] for pod in await stack.children("Pod")} == {"high"}


async def test_a_class_costs_no_writes_once_its_models_have_heard_of_it(stack: Stack) -> None:
    await set_class(stack, limits={"accelerators": ["l4"]})
    await set_class(stack, "second", limits={"accelerators": ["l4"]})
    await stack.apply("chat", **CHAT)
    await stack.expect_ready("chat")
    assert "leave only one marked" in (await stack.condition("chat", "Accepted"))["message"]

    settled = (await stack.get("chat"))["metadata"]["resourceVersion"]
    await set_class(stack, "unused", default=False, limits={"accelerators": ["v6e"]})
    await observe_for(3)
    assert (await stack.get("chat"))["metadata"]["resourceVersion"] == settled


async def test_a_cluster_without_the_definition_is_one_without_classes_until_it_has_it(tmp_path: Path) -> None:
    older, newer = tmp_path / "older", tmp_path / "newer"
    shutil.copytree(CRDS, older)
    newer.mkdir()
    definition = f"{GROUP}_{CLASS_PLURAL}.yaml"
    (older / definition).rename(newer / definition)
    async with light_stack(tmp_path / "sandbox", crds=older) as (stack, _):
        stack.operator.start()
        await stack.apply("chat", **CHAT)
        await stack.expect_ready("chat")
        assert "servingClassName" not in (await stack.get("chat"))["status"]
        assert f"The cluster doesn't serve {CLASS_PLURAL}" in stack.operator.log(500)
        await install_crds(stack.kube, newer)
        await set_class(stack)
        await stack.expect("chat", "Accepted", "True")
        await eventually(lambda: _is_under(stack, "chat", "standard"), 60, stack.story)


async def _is_under(stack: Stack, name: str, serving_class: str) -> bool:
    return bool((await stack.get(name))["status"]["servingClassName"] == serving_class)


async def _machine_of(stack: Stack, name: str, machine_type: str) -> bool:
    chosen = (await stack.get(name))["status"]["plan"]["chosen"]
    return bool(chosen["machineType"] == machine_type)
