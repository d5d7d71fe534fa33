"""What the operator does unless it is told otherwise."""

import click.testing
import pytest

from mistral_operator.cli.run import run
from mistral_operator.controller.options import RunOptions

IN_A_POD = "KUBERNETES_SERVICE_HOST"


def test_outside_of_a_cluster_only_this_machine_can_ask_for_health_and_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(IN_A_POD, raising=False)
    assert RunOptions().health_host == "127.0.0.1"
    assert RunOptions(health_host="10.1.2.3").health_host == "10.1.2.3"


def test_in_a_pod_the_kubelet_can_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(IN_A_POD, "10.0.0.1")
    assert RunOptions().health_host == "0.0.0.0"


def test_help_says_where_health_is_served() -> None:
    text = click.testing.CliRunner().invoke(run, ["--help"]).output
    assert f"[default: {RunOptions().health_host}]" in " ".join(text.split())
