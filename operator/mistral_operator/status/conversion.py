"""The Job that converts a checkpoint: how far it is, and what to do when it failed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mistral_operator.api.model import MistralModel
from mistral_operator.planning.types import Plan
from mistral_operator.status.findings import Finding, quote, read_condition, unmet


@dataclass(frozen=True, slots=True)
class ConversionView:
    """One conversion Job."""

    name: str
    done: bool
    failure: str
    """Kubernetes' own words for a Job that has given up; empty for one that goes on."""
    tries: int
    """Pods that have failed so far."""


def view_conversion(name: str, job: Mapping[str, Any] | None) -> ConversionView:
    """Read the live Job; one that isn't there yet has not begun."""
    live = job or {}
    failed = read_condition(live, "Failed")
    given_up = failed.get("status") == "True"
    return ConversionView(
        name=name,
        done=read_condition(live, "Complete").get("status") == "True",
        failure=quote(f"{failed.get('reason', 'Failed')}: {failed.get('message', '')}") if given_up else "",
        tries=int(live.get("status", {}).get("failed", 0)),
    )


def check_conversion(model: MistralModel, plan: Plan, view: ConversionView) -> Finding | None:
    """What the weights wait for; None once the checkpoint is there."""
    if view.done:
        return None
    logs = f"kubectl -n {model.metadata.namespace} logs job/{view.name}"
    if view.failure:
        again = f"kubectl -n {model.metadata.namespace} delete job/{view.name}"
        told = f"Job {view.name} has given up converting {plan.repository}: {view.failure}."
        return unmet("ConversionFailed", f"{told} Read `{logs}`; to try again: `{again}`.")
    tries = f" after {view.tries} failed tries" if view.tries else ""
    size = f"{plan.weights_bytes / 2**30:.1f} GiB"
    return unmet(
        "Converting",
        f"Job {view.name} converts {plan.repository} ({size}) into {plan.checkpoint_uri}{tries}; replicas start after"
        f" that. Follow it with `{logs}`.",
    )
