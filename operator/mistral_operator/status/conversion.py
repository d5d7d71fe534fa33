"""The Job that converts a checkpoint: how far it is, and what to do when it failed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mistral_operator.api.model import MistralModel
from mistral_operator.engines.protocol import CONVERTER
from mistral_operator.manifests.identity import is_owned_by
from mistral_operator.planning.types import Plan
from mistral_operator.status.findings import Finding, is_true, quote, read_condition, unmet
from mistral_operator.status.pods import FINISHED, PodView, view_pod

_Object = Mapping[str, Any]
_CONTAINERS: Final = frozenset({CONVERTER})


@dataclass(frozen=True, slots=True)
class ConversionView:
    """One conversion Job."""

    name: str
    made: bool
    """The Job is there."""
    done: bool
    failure: str
    """Kubernetes' own words for a Job that has given up; empty for one that goes on."""
    tries: int
    """Pods that have failed so far."""
    pod: PodView | None
    """The pod that converts or is to convert; None before there is one, between two tries, and afterwards."""
    last_exit: str
    """How the last pod ended; empty before one did."""


def view_conversion(name: str, job: _Object | None, pods: Iterable[_Object]) -> ConversionView:
    """Read the live Job and those of the pods that are its own; one that isn't there yet has not begun."""
    live = job or {}
    failed = read_condition(live, "Failed")
    given_up = is_true(live, "Failed")
    running, ended = _divide(live, pods)
    return ConversionView(
        name=name,
        made=job is not None,
        done=is_true(live, "Complete"),
        failure=quote(f"{failed.get('reason', 'Failed')}: {failed.get('message', '')}") if given_up else "",
        tries=int(live.get("status", {}).get("failed", 0)),
        pod=view_pod(running[-1], _CONTAINERS) if running else None,
        last_exit=view_pod(ended[-1], _CONTAINERS).last_exit if ended else "",
    )


def _divide(job: _Object, pods: Iterable[_Object]) -> tuple[list[_Object], list[_Object]]:
    """The Job's pods that have not ended, and those that have; each in the order in which they were made."""
    uid = job.get("metadata", {}).get("uid")
    own = sorted(
        (pod for pod in pods if uid and is_owned_by(pod, uid)),
        key=lambda pod: str(pod["metadata"].get("creationTimestamp") or ""),
    )
    ended = [pod for pod in own if pod.get("status", {}).get("phase") in FINISHED]
    return [pod for pod in own if pod not in ended], ended


def check_conversion(model: MistralModel, plan: Plan, view: ConversionView) -> Finding | None:
    """What the weights wait for; None once the checkpoint is there."""
    if view.done:
        return None
    if view.failure:
        return _tell_failure(model, plan, view)
    if view.made and view.pod is None and not view.last_exit:
        return unmet(
            "ConversionPending",
            f"Job {view.name} is to convert {plan.repository} and has no pod yet. If that lasts, a quota, a policy or a"
            f" missing ServiceAccount is in the way; `kubectl -n {model.metadata.namespace} describe job/{view.name}`"
            " tells.",
        )
    if not view.made or (view.pod is not None and not view.pod.running and not view.pod.last_exit):
        return unmet(
            "WaitingForConverter",
            f"Job {view.name} converts {plan.repository} when its pod has its node and its image.",
        )
    return _tell_progress(model, plan, view)


def _tell_failure(model: MistralModel, plan: Plan, view: ConversionView) -> Finding:
    logs, again = (f"kubectl -n {model.metadata.namespace} {verb} job/{view.name}" for verb in ("logs", "delete"))
    words = f" The last try ended with {quote(view.last_exit)}." if view.last_exit else ""
    told = f"Job {view.name} has given up converting {plan.repository}: {view.failure}.{words}"
    return unmet("ConversionFailed", f"{told} Read `{logs}`; to try again: `{again}`.")


def _tell_progress(model: MistralModel, plan: Plan, view: ConversionView) -> Finding:
    tries = f" after {view.tries} failed tries" if view.tries else ""
    words = f" The last one ended with {quote(view.last_exit)}." if view.tries and view.last_exit else ""
    size = f"{plan.weights_bytes / 2**30:.1f} GiB"
    return unmet(
        "Converting",
        f"Job {view.name} converts {plan.repository} ({size}) into {plan.checkpoint_uri}{tries}; replicas start after"
        f" that.{words} Follow it with `kubectl -n {model.metadata.namespace} logs job/{view.name}`.",
    )
