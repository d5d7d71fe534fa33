"""The README's demo and sandbox, as a user starts them, ends them, and looks at what they keep."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from tests.support.polling import eventually
from tests.support.running_sandbox import REPOSITORY

from mistral_operator.api.names import APPLIED_HASH_ANNOTATION
from mistral_operator.cluster.apply import is_in_sync
from mistral_operator.sandbox.kube import Kube

pytestmark = pytest.mark.cluster

SPEED = "50"
API = "/apis/serving.mistral-operator.dev/v1alpha1"
HEAD = {"apiVersion": "serving.mistral-operator.dev/v1alpha1", "kind": "MistralModel"}
PATHS = {
    "ControllerRevision": "/apis/apps/v1/namespaces/demo/controllerrevisions",
    "Deployment": "/apis/apps/v1/namespaces/demo/deployments",
    "Service": "/api/v1/namespaces/demo/services",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/demo/poddisruptionbudgets",
    "HorizontalPodAutoscaler": "/apis/autoscaling/v2/namespaces/demo/horizontalpodautoscalers",
    "NodePoolClaim": "/apis/serving.mistral-operator.dev/v1alpha1/nodepoolclaims",
}

Start = Callable[..., subprocess.Popen[str]]


def command(*args: str | Path) -> list[str]:
    return [sys.executable, "-m", "mistral_operator", *map(str, args)]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(REPOSITORY / "operator"), "PYTHONUNBUFFERED": "1"}


def call(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*args), capture_output=True, text=True, check=False, env=environment())


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a command with its output in `tmp_path / "output"`; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start_command(*args: str | Path) -> subprocess.Popen[str]:
        with (tmp_path / "output").open("w") as output:
            process = subprocess.Popen(command(*args), stdout=output, stderr=output, text=True, env=environment())
        started.append(process)
        return process

    yield start_command
    for process in started:
        process.kill()
        process.wait()


def output(directory: Path) -> str:
    return (directory / "output").read_text()


async def ended(process: subprocess.Popen[str], directory: Path, timeout_s: float = 150) -> int:
    """The exit code."""
    codes: list[int] = []

    def poll() -> bool:
        code = process.poll()
        codes.extend([] if code is None else [code])
        return bool(codes)

    await eventually(poll, timeout_s, lambda: output(directory))
    return codes[0]


async def test_demo_serves_scales_deletes_and_leaves_nothing(start: Start, tmp_path: Path) -> None:
    process = start("demo", "--speed", SPEED, "--directory", tmp_path / "demo")
    assert await ended(process, tmp_path) == 0, output(tmp_path)
    text = output(tmp_path)
    milestones = (
        "operator     ready", "KV cache", "Ready: Serving. 1 of 1 replicas answer", "http://chat.demo.svc/v1",
        "This is a stand-in for vLLM", "2 of 2 replicas answer, $1.71 an hour", "MistralModel chat-tpu",
        "4 × v5e (tpu-v5-lite-podslice 2x2, ct5lp-hightpu-4t, on demand)", "http://chat-tpu.demo.svc/v1",
        "1 of 1 replicas answer, $1.71 an hour now, $0.85 of it for idle nodes", "delete mistralmodel/chat-tpu",
        "nothing, neither in Kubernetes nor in the cloud", "every process has ended",
    )  # fmt: skip
    places = [text.find(milestone) for milestone in milestones]
    assert -1 not in places, f"{milestones[places.index(-1)]} is missing:\n{text}"
    assert places == sorted(places)
    assert "\033" not in text
    assert ": Ready, 1 node\n" in text
    assert "1 nodes" not in text


async def test_a_kept_demo_can_be_looked_at_and_ends_at_ctrl_c(start: Start, tmp_path: Path) -> None:
    example = REPOSITORY / "examples" / "mistral-7b.yaml"
    process = start("demo", "--keep", "--speed", SPEED, "--directory", tmp_path / "demo", "--example", example)
    await eventually(lambda: "Everything keeps running" in output(tmp_path), 120, lambda: output(tmp_path))
    kubeconfig = tmp_path / "demo" / "kubeconfig"
    expect_path(output(tmp_path))
    at_model = ("status", "chat", "-n", "demo", "--kubeconfig", kubeconfig)

    story = call(*at_model)
    assert story.returncode == 0, story.stderr
    for part in (
        "chat in demo: Serving",
        "2/2 ready",
        "$1.71 an hour now",
        "NodesReady",
        "mm-g2-standard-8",
        "curl localhost",
    ):
        assert part in story.stdout
    assert call("status", "other", "-n", "demo", "--kubeconfig", kubeconfig).returncode == 1

    inputs = tmp_path / "inputs.yaml"
    assert call(*at_model, "--export-inputs", inputs).returncode == 0
    rendered = call("render", "--inputs", inputs)
    assert rendered.returncode == 0, rendered.stderr
    await assert_applied(kubeconfig, list(yaml.safe_load_all(rendered.stdout)))

    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) > 5
    process.send_signal(signal.SIGINT)
    assert await ended(process, tmp_path) == 0, output(tmp_path)
    await eventually(lambda: not [child for child in family if child.is_running()], 10)


def expect_path(text: str) -> None:
    """The line to copy leads to both commands that the README names."""
    path = re.search(r"^ *export PATH=(.*):\$PATH$", text, re.MULTILINE)
    assert path, text
    for name in ("kubectl", "mistral-operator"):
        assert shutil.which(name, path=path[1]), f"{name} is not in {path[1]}"


async def test_sandbox_up_runs_a_scenario_and_ends_at_ctrl_c(start: Start, tmp_path: Path) -> None:
    """No L4 is in stock there, and the smallest model asks for one."""
    scenario = REPOSITORY / "examples" / "scenarios" / "stock-out.yaml"
    options = ("--with-operator", "--scenario", scenario, "--speed", SPEED, "--directory", tmp_path / "box")
    process = start("sandbox", "up", *options)
    await eventually(lambda: "export PATH=" in output(tmp_path), 120, lambda: output(tmp_path))
    expect_path(output(tmp_path))
    printed = re.search(r"export KUBECONFIG=(\S+)", output(tmp_path))
    assert printed
    async with Kube(Path(printed[1])) as kube:
        model = {"metadata": {"name": "chat"}, "spec": {"model": "mistral-7b-v0.3"}}
        made = await kube.create(f"{API}/namespaces/default/mistralmodels", {**HEAD, **model})
        path = f"{API}/namespaces/default/mistralmodels/{made['metadata']['name']}"

        async def stocked_out() -> bool:
            conditions = (await kube.request("GET", path)).get("status", {}).get("conditions", ())
            return "StockedOut" in [c["reason"] for c in conditions if c["type"] == "CapacityReady"]

        await eventually(stocked_out, 60, lambda: output(tmp_path))
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) > 5
    process.send_signal(signal.SIGINT)
    assert await ended(process, tmp_path) == 0, output(tmp_path)
    assert output(tmp_path).endswith("Stopping.\n")
    await eventually(lambda: not [child for child in family if child.is_running()], 10)


async def assert_applied(kubeconfig: Path, manifests: list[dict[str, Any]]) -> None:
    """Each rendered object is what the operator has applied, its seal, the hash of the whole manifest, included."""
    assert {manifest["kind"] for manifest in manifests} == set(PATHS)
    async with Kube(kubeconfig) as kube:
        for manifest in manifests:
            live = await kube.request("GET", f"{PATHS[manifest['kind']]}/{manifest['metadata']['name']}")
            assert is_in_sync(manifest, live), manifest["kind"]
            assert manifest["kind"] == "NodePoolClaim" or APPLIED_HASH_ANNOTATION in manifest["metadata"]["annotations"]


async def test_a_refused_model_fails_the_demo_with_its_reason(start: Start, tmp_path: Path) -> None:
    example = tmp_path / "model.yaml"
    example.write_text(yaml.safe_dump({**HEAD, "metadata": {"name": "chat"}, "spec": {"model": "mistral-8b"}}))
    process = start("demo", "--speed", SPEED, "--directory", tmp_path / "demo", "--example", example)
    assert await ended(process, tmp_path) == 1
    assert "the model is refused: UnknownModel" in output(tmp_path)
    assert f"Logs are in {tmp_path / 'demo'}" in output(tmp_path)
