"""Which command lines the kubelet stand-in runs, and which it refuses as a shell would."""

from typing import Any

import pytest

from mistral_operator.engines.vllm_tpu import LEADER_COMMAND, WORKER_COMMAND
from mistral_operator.sandbox.kubelet.calls import Program, Refused
from mistral_operator.sandbox.kubelet.programs import recognise

VLLM = "mistral_operator.sandbox.engine.vllm"
MULTI_NODE = "mistral_operator.sandbox.engine.multi_node"
GPU, TPU = "vllm/vllm-openai:v0.33.0", "europe-docker.pkg.dev/team/mirror/vllm-tpu:v0.21.0"
SCRIPT = "bash /workspace/vllm/examples/ray_serving/multi-node-serving.sh"
LEADER = f'{SCRIPT} leader --ray_cluster_size="$LWS_GROUP_SIZE" && exec vllm serve "$@"'
WORKER = f'exec {SCRIPT} worker --ray_address="$LWS_LEADER_ADDRESS"'
GROUP = {"LWS_GROUP_SIZE": "4", "LWS_LEADER_ADDRESS": "chat-0.chat.team", "P": "9"}


def container(image: str, *command: str, args: list[str] | None = None) -> dict[str, Any]:
    return {"image": image} | ({"command": list(command)} if command else {}) | ({"args": args} if args else {})


@pytest.mark.parametrize(
    ("called", "arguments"),
    [
        (container("i", "vllm", "serve", args=["m", "--port=$(P)"]), ("serve", "m", "--port=9")),
        (container(GPU, args=["m"]), ("serve", "m")),
        (container("i", "/usr/bin/vllm", "serve", "m"), ("serve", "m")),
        (container(TPU, "vllm", "serve", args=["m"]), ("serve", "m")),
        (container(TPU, args=["vllm", "serve", "m"]), ("serve", "m")),
    ],
)
def test_one_host(called: dict[str, Any], arguments: tuple[str, ...]) -> None:
    assert recognise(called, GROUP) == Program(VLLM, arguments)


def test_the_leader_of_a_group() -> None:
    called = container(TPU, "bash", "-c", LEADER, "vllm-serve", args=["mistralai/Chat", "--port=$(P)", "-tp=16"])
    arguments = ("leader", "--ray_cluster_size=4", "--", "serve", "mistralai/Chat", "--port=9", "-tp=16")
    assert recognise(called, GROUP) == Program(MULTI_NODE, arguments)


def test_a_worker_of_a_group() -> None:
    called = container(TPU, "bash", "-c", WORKER)
    arguments = ("worker", "--ray_address=chat-0.chat.team")
    assert recognise(called, GROUP) == Program(MULTI_NODE, arguments, loads=False)


def test_what_the_operator_renders_is_known() -> None:
    values = GROUP | {"VLLM_ENGINE_READY_TIMEOUT_S": "1800"}
    leader = recognise(container(TPU, *LEADER_COMMAND, args=["mistralai/Chat"]), values)
    words = ("leader", "--ray_cluster_size=4", "--ray_init_timeout=1800", "--", "serve", "mistralai/Chat")
    assert leader == Program(MULTI_NODE, words)
    worker = recognise(container(TPU, *WORKER_COMMAND), values)
    words = ("worker", "--ray_address=chat-0.chat.team", "--ray_init_timeout=1800")
    assert worker == Program(MULTI_NODE, words, loads=False)


def test_what_is_not_set_is_empty_as_in_a_shell() -> None:
    assert recognise(container(TPU, "bash", "-c", WORKER), {}) == Program(
        MULTI_NODE, ("worker", "--ray_address="), loads=False
    )


def test_further_options_reach_the_script() -> None:
    called = container(TPU, "bash", "-c", WORKER + " --ray_port=7000 --ray_init_timeout=600")
    found = recognise(called, GROUP)
    assert isinstance(found, Program)
    assert found.arguments[2:] == ("--ray_port=7000", "--ray_init_timeout=600")


@pytest.mark.parametrize(
    "called",
    [
        container("example/web"),
        container("example/web", "sleep", "1"),
        container(GPU, "sleep", "1"),
        container(TPU, "sh", "-c", "mkdir -p $HOME/.cache/vllm && chmod 777 $HOME/.cache/vllm"),
        container("example/gateway", "serve", "--engine", "vllm"),
        container("example/tool", "python3", "-m", "tools.fetch", args=["--for=my-vllm-cache"]),
    ],
)
def test_programs_that_the_sandbox_does_not_have(called: dict[str, Any]) -> None:
    assert recognise(called, GROUP) is None


@pytest.mark.parametrize(
    "called",
    [
        # The rest of the line is lost: without "$@" the flags go nowhere.
        container(TPU, "bash", "-c", LEADER.removesuffix(' "$@"'), "vllm-serve", args=["m"]),
        # The model would be the script's $0.
        container(TPU, "bash", "-c", LEADER, args=[]),
        container(TPU, "bash", "-c", LEADER.replace("&&", ";"), "vllm-serve", args=["m"]),
        container(TPU, "bash", "-c", LEADER.replace("leader", "head"), "vllm-serve", args=["m"]),
        container(TPU, "bash", "-c", LEADER.replace("ray_serving", "elsewhere"), "vllm-serve", args=["m"]),
        container(TPU, "bash", "-c", LEADER.replace("$LWS_GROUP_SIZE", "$(rm -rf .)"), "vllm-serve", args=["m"]),
        container(TPU, "bash", "-c", WORKER, args=["--block"]),
        container(TPU, "sh", "-c", WORKER),
        container(TPU, "bash", *WORKER.split()[1:]),
        container(TPU, "bash", "-c", "vllm serve m"),
        container(TPU, "python3", "-m", "vllm.entrypoints.openai.api_server", args=["--model=m"]),
        container("i", "vllm-serve", "m"),
    ],
)
def test_other_uses_of_vllm_are_refused(called: dict[str, Any]) -> None:
    refused = recognise(called, GROUP)
    assert isinstance(refused, Refused)
    assert refused.exit_code == 127
    assert "command not found: the stand-in has `vllm serve`" in refused.text


@pytest.mark.parametrize(
    ("called", "text"),
    [
        (container(TPU, args=["mistralai/Chat", "--port=8000"]), "exec: mistralai/Chat: not found"),
        (container(TPU), "the stand-in knows no program without arguments"),
    ],
)
def test_the_tpu_image_executes_its_arguments(called: dict[str, Any], text: str) -> None:
    assert recognise(called, GROUP) == Refused(text)
