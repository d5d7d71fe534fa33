"""`plan --live` against a whole sandbox, by what its sandbox.json says of it."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from tests.support.running_sandbox import RunningSandbox

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]


async def test_a_sandbox_answers_for_google(shared_sandbox: RunningSandbox) -> None:
    box = shared_sandbox
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mistral_operator", "plan", "-f", str(ROOT / "examples" / "mistral-7b.yaml"),
        "--live", "-o", "json", "--container-api", box.container_api, "--compute-api", box.compute_api,
        "--project", box.project, "--location", box.location, "--cluster", box.cluster,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT / "operator")},
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    document = json.loads(out)
    assert document["live"]["cluster"] == box.cluster
    assert {found["verdict"] for found in document["live"]["findings"]} == {"ok"}
    assert {found["check"] for found in document["live"]["findings"]} == {"cluster", "permissions", "zones", "quota"}
