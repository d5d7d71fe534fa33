"""The gateway's command line: what it makes of its options, and what it refuses before it listens."""

import sys
from typing import Any

import pytest
from click.testing import CliRunner

from mistral_operator.cli.main import main
from mistral_operator.gateway import run
from mistral_operator.gateway.settings import GatewaySettings, Sampling

REQUIRED = [
    "--served-model-name",
    "chat",
    "--tokenizer",
    "v3",
    "--max-prefill-tokens",
    "64",
    "--max-total-tokens",
    "96",
]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[GatewaySettings]:
    """The settings that the gateway would have served with."""
    settings: list[GatewaySettings] = []

    async def serve(given: GatewaySettings) -> None:
        settings.append(given)

    monkeypatch.setattr(run, "run", serve)
    return settings


def call(*words: str) -> Any:
    return CliRunner().invoke(main, ["gateway", *words])


def test_defaults(served: list[GatewaySettings]) -> None:
    assert call(*REQUIRED).exit_code == 0
    assert served == [GatewaySettings("chat", "v3", 64, 96, max_concurrency=256)]


def test_all_options(served: list[GatewaySettings]) -> None:
    words = ["--host", "127.64.0.1", "--port", "8001", "--engine", "127.64.0.1:9100", "--max-concurrency", "8"]
    words += ["--temperature", "0.7", "--top-p", "0.9", "--drain-s", "5", "--ignore-unsupported"]
    assert call(*REQUIRED, *words).exit_code == 0
    assert served[0].sampling == Sampling(0.7, 0.9)
    assert (served[0].host, served[0].port, served[0].engine) == ("127.64.0.1", 8001, "127.64.0.1:9100")
    assert (served[0].drain_s, served[0].ignore_unsupported, served[0].max_output_tokens) == (5, True, 32)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "Missing option '--served-model-name'"),
        ([*REQUIRED, "--tokenizer", "v9"], "is not one of 'v1', 'v2', 'v3', 'v7'"),
        ([*REQUIRED, "--max-total-tokens", "64"], "leaves no room for an answer: write more than"),
        ([*REQUIRED, "--top-p", "2"], "not in the range"),
    ],
)
def test_refused(words: list[str], text: str) -> None:
    result = call(*words)
    assert result.exit_code == 2
    assert text in result.output


def test_without_its_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mistral_operator.gateway.run", None)
    result = call(*REQUIRED)
    assert result.exit_code == 1
    assert "pip install 'mistral-operator[gateway]'" in result.output
