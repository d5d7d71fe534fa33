"""`verify` against a served model: the stand-in is measured, found out, and no evidence."""

import asyncio
import sys
from pathlib import Path

import pytest
import yaml
from tests.support.kubectl import kubectl
from tests.support.running_sandbox import REPOSITORY
from tests.support.stack import Stack

from mistral_operator.catalogue.evidence import parse_evidence
from mistral_operator.catalogue.reader import CatalogueError, Reader
from mistral_operator.sandbox.control_plane import ControlPlane


async def verify(stack: Stack, name: str, record: Path, *more: str) -> tuple[int, str]:
    """Run the command as a user does; answers the exit code and what it complained of."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mistral_operator", "verify", name, "--namespace", stack.namespace),
        *("--kubeconfig", str(stack.sandbox.kubeconfig), "--by", "the tests", "--output", str(record)),
        *("--endpoint", f"{stack.sandbox.front_url}/{stack.namespace}/{name}/v1", "--requests", "2", *more),
        stderr=asyncio.subprocess.PIPE,
    )
    _, complaints = await process.communicate()
    return process.returncode or 0, complaints.decode()


async def test_a_stand_in_is_measured_and_found_out(stack: Stack, tmp_path: Path) -> None:
    name, record = await stack.apply_example("mistral-7b"), tmp_path / "record.yaml"
    await stack.expect_ready(name)
    code, complaints = await verify(stack, name, record)
    assert code == 1
    assert "A stand-in answered" in complaints
    written = yaml.safe_load(record.read_text(encoding="utf-8"))
    assert (written["stand_in"], written["passed"]) == (True, True), complaints
    chosen = (await stack.get(name))["status"]["plan"]["chosen"]
    run = written["run"]
    assert (run["accelerator"], run["machine_type"]) == (chosen["accelerator"], chosen["machineType"])
    assert written["measured"]["output_tokens_per_s"] > 0
    assert written["estimated"] == chosen["estimatedSpeed"]
    with pytest.raises(CatalogueError, match="stand-in"):
        parse_evidence(Reader(written, "record"))
    code, _ = await verify(stack, name, record, "--accept-stand-in")
    assert code == 0


async def test_a_model_that_is_not_there_is_told(stack: Stack, tmp_path: Path) -> None:
    code, complaints = await verify(stack, "absent", tmp_path / "record.yaml")
    assert code == 1
    assert "there is no MistralModel absent" in complaints


async def test_the_job_is_one_that_a_fenced_namespace_takes(cluster: ControlPlane) -> None:
    """The API server warns of a Job whose pods it would refuse."""
    namespace = "verify-fenced"
    levels = [f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("enforce", "warn")]
    assert (await kubectl(cluster, "create", "namespace", namespace)).code == 0
    assert (await kubectl(cluster, "label", "namespace", namespace, *levels)).code == 0
    job = REPOSITORY / "examples" / "jobs" / "verify.yaml"
    told = await kubectl(cluster, "apply", "-n", namespace, "-f", job)
    assert told.code == 0, told.errors
    assert "job.batch/verify-chat created" in told.output
    assert "would violate" not in told.errors
    who = f"system:serviceaccount:{namespace}:mistral-verify"
    rights = (("get", "chat", "yes"), ("get", "other", "no"), ("list", "", "no"), ("patch", "chat", "no"))
    for verb, name, allowed in rights:
        what = f"mistralmodels.serving.mistral-operator.dev{'/' + name if name else ''}"
        answer = await kubectl(cluster, "auth", "can-i", verb, what, "-n", namespace, "--as", who)
        assert answer.output.strip() == allowed, (verb, name)
    assert (await kubectl(cluster, "delete", "namespace", namespace, "--wait=false")).code == 0
