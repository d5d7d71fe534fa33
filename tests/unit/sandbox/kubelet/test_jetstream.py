"""Which containers of a JetStream pod run here, and how they find each other."""

from typing import Any

import pytest

from mistral_operator.sandbox.kubelet.calls import Program
from mistral_operator.sandbox.kubelet.jetstream import count_devices
from mistral_operator.sandbox.kubelet.programs import recognise

ADDRESS = "127.64.0.7"
MAXTEXT = ["python3", "-m", "maxtext.inference.maxengine.maxengine_server"]
ENGINE = "mistral_operator.sandbox.engine.jetstream"
GATEWAY = ["mistral_operator.sandbox.tether", "mistral_operator", "gateway"]
HERE = ["--host", ADDRESS, "--engine", f"{ADDRESS}:9000"]


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        ({"command": MAXTEXT, "args": ["/b.yml", "model_name=$(M)"]}, [ENGINE, "maxtext", "/b.yml", "model_name=x"]),
        ({"command": ["jpt", "serve"], "args": ["--port", "9000"]}, [ENGINE, "jpt", "serve", "--port", "9000"]),
        ({"command": ["/usr/local/bin/jpt", "list"]}, [ENGINE, "jpt", "list"]),
        ({"command": ["vllm", "serve", "m"]}, ["mistral_operator.sandbox.engine.vllm", "serve", "m"]),
        ({"command": ["mistral-operator", "gateway"], "args": ["--port", "8000"]}, [*GATEWAY, "--port", "8000", *HERE]),
        (
            {"command": ["mistral-operator", "gateway", "--engine", "localhost:9000", "--host=0.0.0.0"]},
            [*GATEWAY, "--engine", "localhost:9000", "--host=0.0.0.0", *HERE],
        ),
        (
            {"command": ["mistral-operator", "gateway", "--engine=127.0.0.1:9100"]},
            [*GATEWAY, "--engine=127.0.0.1:9100", "--host", ADDRESS, "--engine", f"{ADDRESS}:9100"],
        ),
        (
            {"command": ["mistral-operator", "gateway", "--engine", "engine.example:9000"]},
            [*GATEWAY, "--engine", "engine.example:9000", "--host", ADDRESS],
        ),
        ({"command": ["mistral-operator", "run"]}, None),
        ({"command": ["python3", "-m", "http.server"]}, None),
        ({"command": ["python3"]}, None),
        ({"args": ["gateway"]}, None),
        ({}, None),
    ],
)
def test_which_program_runs(container: dict[str, Any], expected: list[str] | None) -> None:
    found = recognise({"image": "example/image", **container}, {"M": "x"}, ADDRESS)
    assert isinstance(found, Program | None)
    assert (None if found is None else [found.module, *found.arguments]) == expected


def test_maxtext_counts_the_chips_of_its_container() -> None:
    assert count_devices({"resources": {"limits": {"google.com/tpu": "8"}}}) == {"STAND_IN_DEVICES": "8"}
    assert count_devices({"resources": {"limits": {"nvidia.com/gpu": "1"}}}) == {}
    assert count_devices({}) == {}
