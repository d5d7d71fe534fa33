"""How long planning takes: one model over the whole catalogue, and the `plan` command from start to exit."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.types import ClusterProfile, Plan, Settings

REPOSITORY = Path(__file__).parents[2]
CLUSTER = ClusterProfile(provider="GKE", project="p", location="us-central1", cluster="c", zones=("us-central1-a",))


def measure(action: Callable[[], object], times: int) -> float:
    """The median of several runs, in seconds."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def report(row: str, value: float, unit: str, target: float) -> None:
    """Print one line of the benchmark."""
    line = {"row": row, "value": round(value, 2), "unit": unit, "target": f"<= {target}", "met": value <= target}
    print(json.dumps(line))


def test_planning_one_model() -> None:
    catalogue = load_catalogue()
    settings = Settings(operator_version="0")
    worst = 0.0
    for name in catalogue.models:
        spec = {"model": name, "license": {"accept": catalogue.models[name].license.id}}
        model = MistralModel.model_validate({"metadata": {"name": "m"}, "spec": spec})
        assert isinstance(plan_model(model, catalogue, CLUSTER, settings), Plan)
        worst = max(worst, measure(lambda model=model: plan_model(model, catalogue, CLUSTER, settings), 20))
    report("planning one model over the whole catalogue, slowest model", worst * 1000, "ms", 20)


def test_plan_command() -> None:
    command = [sys.executable, "-m", "mistral_operator", "plan", "-f", "examples/mistral-7b.yaml"]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)

    first = run()
    assert "g2-standard-8" in first.stdout, first.stderr
    report("plan command from start to exit", measure(run, 5), "s", 0.5)
