"""How long planning takes: one model over the whole catalogue, and the `plan` command from start to exit."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

from tests.bench.report import report
from tests.bench.site import REPOSITORY

from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.remember import PlanMemory
from mistral_operator.planning.types import ClusterProfile, Plan, PlanRefused, Settings

CLUSTER = ClusterProfile(provider="GKE", project="p", location="us-central1", cluster="c", zones=("us-central1-a",))
TIMES = 20
COMMANDS = 7


def measure_planning() -> None:
    """Plan each model of the catalogue, and report the slowest."""
    catalogue = load_catalogue()
    settings = Settings(operator_version="0")

    def plan(model: MistralModel) -> Plan | PlanRefused:
        return plan_model(model, catalogue, CLUSTER, settings)

    medians = []
    for name in catalogue.models:
        spec = {
            "model": name, "license": {"accept": catalogue.models[name].license.id}, "allowExperimental": True,
        }  # fmt: skip
        model = MistralModel.model_validate({"metadata": {"name": "m"}, "spec": spec})
        medians.append(_median_s(partial(plan, model), TIMES))
    report("planning one model over the whole catalogue, slowest model", max(medians) * 1000, "ms", 20)


def measure_remembering() -> None:
    """Plan other models with the same specs, and report the slowest."""
    catalogue, settings, memory = load_catalogue(), Settings(operator_version="0"), PlanMemory()
    medians = []
    for name in catalogue.models:
        spec = {"model": name, "license": {"accept": catalogue.models[name].license.id}}
        first, second = (MistralModel.model_validate({"metadata": {"name": each}, "spec": spec}) for each in "ab")
        answer = memory.plan(first, catalogue, CLUSTER, settings)
        assert memory.plan(second, catalogue, CLUSTER, settings) is answer
        medians.append(_median_s(partial(memory.plan, second, catalogue, CLUSTER, settings), TIMES))
    note = "another model with the same spec; a tenth of the target for planning it anew"
    report("planning remembered by content, slowest model", max(medians) * 1000, "ms", 2, note)


def measure_plan_command() -> None:
    """Start the command again and again."""
    command = [sys.executable, "-m", "mistral_operator", "plan", "-f", "examples/mistral-7b.yaml"]

    def run() -> None:
        ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert "g2-standard-8" in ended.stdout, ended.stderr

    run()
    report("plan command from start to exit, median", _median_s(run, COMMANDS), "s", 0.5)


def _median_s(action: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)
