"""`plan --live` as a user calls it, with the simulated GKE and Compute Engine in Google's place."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from tests.support.simulated_gke import PaperNodes

from mistral_operator.cli.main import main
from mistral_operator.sandbox.gke.scenario import parse_scenario
from mistral_operator.sandbox.gke.simulated import GkeApi

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "mistral-7b.yaml"
MODEL = """
apiVersion: serving.mistral-operator.dev/v1alpha1
kind: MistralModel
metadata: {name: chat}
spec: {model: mistral-7b-v0.3}
"""


@dataclass
class Google:
    """The two simulated services."""

    gke: GkeApi

    async def plan(self, *args: str | Path, text: str = "", cluster: str = "sandbox") -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mistral_operator", "plan", "--live",
            "--project", "sandbox-project", "--cluster", cluster,
            "--container-api", f"http://{self.gke.address}", "--compute-api", self.gke.compute.url,
            *map(str, args),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT / "operator"), "COLUMNS": "200"},
        )  # fmt: skip
        out, err = await process.communicate(text.encode())
        return process.returncode or 0, out.decode(), err.decode()

    async def data(self, *args: str | Path, text: str = MODEL) -> tuple[int, Any]:
        code, out, err = await self.plan("-f", "-", "-o", "json", "--location", "us-central1", *args, text=text)
        assert out, err
        return code, json.loads(out)


@asynccontextmanager
async def google(**scenario: Any) -> AsyncIterator[Google]:
    async with GkeApi(parse_scenario(scenario), PaperNodes()) as gke:
        yield Google(gke)


async def test_the_plan_is_for_the_cluster_as_it_is() -> None:
    async with google(location="europe-west4", zones=["europe-west4-a", "europe-west4-c"]) as cloud:
        code, out, err = await cloud.plan("-f", EXAMPLE, "--location", "europe-west4")
    assert code == 0, err
    assert "Cluster: GKE in europe-west4 a c (as GKE describes sandbox)." in out
    assert "What Google says now, cluster sandbox in europe-west4 of project sandbox-project" in out
    assert "g2-standard-8 is offered in europe-west4-a, europe-west4-c" in out
    assert "nothing was asked of Google" not in out


async def test_a_blocked_first_option_has_an_exit_code_of_its_own_and_the_next_rung_its_own_verdict() -> None:
    async with google(quota=[{"limit": 0, "accelerator": "nvidia-l4", "mode": "on-demand"}]) as cloud:
        code, document = await cloud.data()
        live = document["live"]
        assert (code, live["verdict"]) == (3, "blocked")
        verdicts = {rung["name"]: rung["verdict"] for rung in live["rungs"]}
        assert verdicts["g2-standard-8-ondemand"] == "blocked"
        assert verdicts["a2-highgpu-1g-ondemand"] == "ok"
        (finding,) = (found for found in live["findings"] if "g2-standard-8-ondemand" in found["rungs"]
                      if found["verdict"] == "blocked")  # fmt: skip
        assert (finding["check"], finding["reason"]) == ("quota", "QuotaTooSmall")
        assert "--quota-id NVIDIA-L4-GPUS-per-project-region" in finding["command"]
        code, out, err = await cloud.plan("-f", "-", "--location", "us-central1", text=MODEL)
        assert code == 3, err
        assert finding["command"] in out
        code, out, err = await cloud.plan("-f", "-", "--location", "us-central1", "-o", "markdown", text=MODEL)
        assert code == 3, err
        assert f"`{finding['command']}`" in out
        code, out, err = await cloud.plan("-f", "-", "--location", "us-central1", "-o", "yaml", text=MODEL)
        assert yaml.safe_load(out)["live"] == live


async def test_every_call_may_be_refused_and_the_plan_is_told_all_the_same() -> None:
    words = "Permission denied on resource project sandbox-project."
    rpcs = ("compute.regions.get", "compute.projects.get", "compute.machineTypes.list",
            "resourcemanager.projects.testIamPermissions")  # fmt: skip
    faults = [{"rpc": rpc, "code": "PERMISSION_DENIED", "message": words} for rpc in rpcs]
    async with google(faults=faults) as cloud:
        code, document = await cloud.data()
    assert code == 0
    assert document["live"]["verdict"] == "warning"
    unanswered = [found for found in document["live"]["findings"] if found["reason"] == "NotAnswered"]
    assert {found["check"] for found in unanswered} == {"quota", "zones", "permissions"}
    assert {found["quote"] for found in unanswered} == {words}


async def test_a_permission_that_is_lacking_is_named() -> None:
    async with google(denied_permissions=["container.clusters.update"]) as cloud:
        _, document = await cloud.data()
    (found,) = (found for found in document["live"]["findings"] if found["reason"] == "PermissionsMissing")
    assert "lacks container.clusters.update in project sandbox-project" in found["message"]


async def test_a_cluster_that_gke_does_not_describe_can_be_planned_for_with_its_zones() -> None:
    async with google() as cloud:
        code, out, err = await cloud.plan("-f", EXAMPLE, "--location", "us-central1", cluster="another")
        assert code == 1
        assert "GKE says:" in err
        assert "give its --zones" in err
        code, out, err = await cloud.plan(
            "-f", EXAMPLE, "--location", "us-central1", "--zones", "a,b", cluster="another"
        )
    assert code == 3, err
    assert "ClusterNotFound: there is no cluster another in us-central1" in out


async def test_a_refused_model_is_refused_as_ever_and_nothing_is_asked_about_it() -> None:
    async with google() as cloud:
        code, document = await cloud.data(
            text=MODEL.replace("v0.3", "v0.3, capacity: {options: [{accelerator: l4, devices: 3}]}")
        )
        assert code == 1
        assert "live" not in document
        assert cloud.gke.compute.calls == []


async def test_of_several_models_each_thing_is_asked_once() -> None:
    async with google() as cloud:
        code, documents = await cloud.data(text=f"{MODEL}---\n{MODEL.replace('chat', 'other')}")
        assert code == 0
        assert [document["live"]["verdict"] for document in documents] == ["ok", "ok"]
        calls = cloud.gke.compute.calls
        assert len(calls) == len(set(calls)) == 4


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("-f", EXAMPLE, "--compute-api", "http://x:1"), "--compute-api is for --live"),
        (("-f", EXAMPLE, "--cluster", "x"), "--cluster is for --live"),
        (("-f", EXAMPLE, "--live", "--what-if", "devices=2"), "--live is about one plan"),
        (("--all", "--live"), "--live is about one plan"),
    ],
)
def test_nothing_that_was_asked_for_is_passed_over(args: tuple[str | Path, ...], words: str) -> None:
    result = CliRunner().invoke(main, ["plan", *map(str, args)])
    assert result.exit_code == 2
    assert words in result.output


@pytest.mark.parametrize("option", ["--container-api", "--compute-api"])
@pytest.mark.parametrize(
    "value", ["localhost:1", "https://localhost:1", "http://localhost", "http://h:x", "http://h:1/v1"]
)
def test_an_address_that_is_none_is_refused_with_what_to_write(option: str, value: str) -> None:
    result = CliRunner().invoke(main, ["plan", "--live", "-f", str(EXAMPLE), option, value])
    assert result.exit_code == 2
    assert f"Invalid value for '{option}': '{value}' is no such address; write http://HOST:PORT" in result.output


async def test_where_nobody_answers_nothing_is_quoted_as_googles(unused_tcp_port: int) -> None:
    nowhere = f"http://127.0.0.1:{unused_tcp_port}"
    async with google() as cloud:
        code, out, err = await cloud.plan("-f", EXAMPLE, "--location", "us-central1", "--compute-api", nowhere)
        assert code == 0, err
        assert "can't be read: no answer from 127.0.0.1" in " ".join(out.split())
        assert "says: " not in out
        code, document = await cloud.data("--compute-api", nowhere)
        unanswered = [found for found in document["live"]["findings"] if found["reason"] == "NotAnswered"]
        assert {found["check"] for found in unanswered} == {"quota", "zones", "permissions"}
        assert {found["quote"] for found in unanswered} == {None}
        code, out, err = await cloud.plan("-f", EXAMPLE, "--location", "us-central1", "--container-api", nowhere)
        assert code == 1
        assert "No answer from GKE: failed to connect to all addresses" in err
        assert "GKE says" not in err


def bought(consumption: str, **more: Any) -> str:
    option = {"accelerator": "l4", "consumption": consumption, **more}
    return MODEL.replace("v0.3", f"v0.3, capacity: {{options: [{json.dumps(option)}]}}")


async def test_flex_start_counts_against_the_preemptible_quota() -> None:
    none_on_demand = {"limit": 0, "accelerator": "nvidia-l4", "mode": "on-demand"}
    async with google(quota=[none_on_demand]) as cloud:
        code, document = await cloud.data(text=bought("FlexStart"))
    assert (code, document["live"]["verdict"]) == (0, "ok")
    quotas = [found["message"] for found in document["live"]["findings"] if found["check"] == "quota"]
    assert quotas
    assert all(message.startswith("PREEMPTIBLE_NVIDIA_L4_GPUS in us-central1 allows") for message in quotas)


async def test_a_reservation_is_looked_at_in_place_of_any_quota() -> None:
    text = bought("Reservation", reservation="team-gpus", zones=["us-central1-a"], machineType="g2-standard-8")
    mine = {"name": "team-gpus", "machine_type": "g2-standard-8", "zone": "us-central1-a", "count": 2}
    nothing = [{"limit": 0}]
    async with google(quota=nothing, reservations=[{**mine, "in_use": 2}]) as cloud:
        code, document = await cloud.data(text=text)
        assert code == 3
        (found,) = (found for found in document["live"]["findings"] if found["verdict"] == "blocked")
        assert (found["check"], found["reason"]) == ("reservation", "ReservationFull")
        assert "gcloud compute reservations update team-gpus --zone us-central1-a" in found["command"]
    async with google(quota=nothing, reservations=[{**mine, "in_use": 1}]) as cloud:
        code, document = await cloud.data(text=text)
        assert (code, document["live"]["verdict"]) == (0, "ok")
        assert "quota" not in {found["check"] for found in document["live"]["findings"]}
    async with google(quota=nothing) as cloud:
        code, document = await cloud.data(text=text)
        assert code == 3
        assert "project sandbox-project has no reservation team-gpus" in str(document["live"]["findings"])


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("plan", "--live", "-f", str(EXAMPLE)), "Log in: `gcloud auth application-default login`"),
        (("sweep",), "127.0.0.1:9"),
    ],
)
async def test_without_a_login_or_an_api_server_it_says_so(
    tmp_path: Path, command: tuple[str, ...], words: str
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    server = {"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "c"}}
    kubeconfig.write_text(yaml.safe_dump({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [server], "contexts": [context], "users": [{"name": "c", "user": {}}],
    }))  # fmt: skip
    nobody = {"HOME": str(tmp_path), "CLOUDSDK_CONFIG": str(tmp_path), "NO_GCE_CHECK": "true"}
    known = {key: value for key, value in os.environ.items() if key != "GOOGLE_APPLICATION_CREDENTIALS"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mistral_operator", *command,
        "--project", "team-project", "--location", "us-central1", "--cluster", "serving",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**known, **nobody, "PYTHONPATH": str(ROOT / "operator"), "KUBECONFIG": str(kubeconfig)},
    )  # fmt: skip
    _, err = await process.communicate()
    assert process.returncode == 1
    assert "Traceback" not in err.decode()
    assert words in err.decode()
