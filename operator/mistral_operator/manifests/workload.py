"""The Deployment of a model's replicas, and how much of it may be away at once."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from mistral_operator.api.model import MistralModel
from mistral_operator.api.rollout import RolloutStrategy
from mistral_operator.manifests.identity import (
    Manifest,
    name_workload,
    own,
    part_labels,
    replica_selector,
    workload_selector,
)
from mistral_operator.planning.types import Consumption, PlannedOption

DEPLOYMENT: Final = "Deployment"
# Waiting for capacity isn't a failed roll-out: the Deployment's own verdict comes long after the plan's estimate.
CAPACITY_WAIT_S = 1800
FLEX_START_WAIT_S = 86_400
STARTUP_MARGIN = 3


class Turnover(StrEnum):
    """How the pods of one revision follow those of another."""

    ONE_MORE = "OneMore"
    """A machine more is taken, and no replica is away."""
    ONE_LESS = "OneLess"
    """One replica is away at a time: nobody pays for a machine more."""
    AT_ONCE = "AtOnce"
    """Those that go have no nodes, so nobody misses them; waiting on they could still take some."""


def build_deployment(
    model: MistralModel, option: PlannedOption, pod_template: Manifest, *, replicas: int, turnover: Turnover
) -> Manifest:
    """Render the Deployment; `replicas` is what is really wanted now, zero while suspended."""
    return own(
        model,
        api_version="apps/v1",
        kind=DEPLOYMENT,
        name=name_workload(model),
        labels=part_labels(model),
        spec={
            "replicas": replicas,
            "revisionHistoryLimit": 0,  # revisions are ControllerRevisions of the model itself
            "progressDeadlineSeconds": _capacity_wait_s(option) + STARTUP_MARGIN * option.startup.total_s,
            "selector": {"matchLabels": workload_selector(model)},
            "strategy": _strategy(model, turnover),
            "template": pod_template,
        },
    )


def _capacity_wait_s(option: PlannedOption) -> int:
    """One purchase is tried after the other where there are several."""
    modes = (purchase.consumption for purchase in option.purchases)
    return sum(FLEX_START_WAIT_S if mode is Consumption.FLEX_START else CAPACITY_WAIT_S for mode in modes)


def build_disruption_budget(model: MistralModel) -> Manifest:
    """Let drains go on, one replica at a time; a minimum of available pods would block them for a single replica."""
    return own(
        model,
        api_version="policy/v1",
        kind="PodDisruptionBudget",
        name=model.metadata.name,
        spec={
            "maxUnavailable": 1,
            "selector": {"matchLabels": replica_selector(model)},
            # A replica that never became ready must not hold up a node's drain.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    )


_ROLLING: Final[Mapping[Turnover, Manifest]] = {
    Turnover.ONE_MORE: {"maxSurge": 1, "maxUnavailable": 0},
    Turnover.ONE_LESS: {"maxSurge": 0, "maxUnavailable": 1},
    Turnover.AT_ONCE: {"maxSurge": 0, "maxUnavailable": "100%"},
}


def _strategy(model: MistralModel, turnover: Turnover) -> Manifest:
    if model.spec.rollout is not None and model.spec.rollout.strategy is RolloutStrategy.RECREATE:
        return {"type": "Recreate"}
    return {"type": "RollingUpdate", "rollingUpdate": dict(_ROLLING[turnover])}
