"""WeightsReady, WorkloadReady, AutoscalingReady and EndpointReady: from the pods' own words to findings."""

import re

from mistral_operator.manifests.network import endpoint_url
from mistral_operator.planning.types import Plan
from mistral_operator.status.capacity import check_pod_creation
from mistral_operator.status.conversion import check_conversion
from mistral_operator.status.ends import REPLICA_ENDS_SOON
from mistral_operator.status.findings import Finding, met, quote, read_condition, unmet
from mistral_operator.status.pods import PodView
from mistral_operator.status.situation import Situation

_IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_MISSING_INPUT = "CreateContainerConfigError"
_ACCESS_WORDS = re.compile(
    r"\b(?:HTTP|status|error|code)\W{0,8}40[13]\b|\b40[13] Client Error|gated repo|GatedRepoError", re.IGNORECASE
)
_MEMORY_WORDS = re.compile(r"out of memory|oomkilled|no available memory for the cache blocks", re.IGNORECASE)
_ACCEPT_TERMS = "Accept the model's terms on its page and give a token in spec.weights.huggingFace.tokenSecretRef."
_NEED_LESS = (
    "Lower spec.engine.contextLength or spec.engine.maxConcurrency, or give more devices in spec.capacity.options."
)
_INSTALL_ADAPTER = (
    "so the HorizontalPodAutoscaler can't read the engine's queue and only keeps replicas within its bounds. Install a"
    " metrics adapter; until then scale with `kubectl scale`."
)


def check_weights(situation: Situation) -> Finding:
    """Are the weights there, and if not, does the pod say why?"""
    if situation.plan is None:
        return unmet("NotPlanned", "No weights are loaded before the model is accepted.")
    plan = situation.plan
    missing = _find_missing_token(situation)
    if missing:
        return missing
    refused = next((pod for pod in situation.standing_hosts if _ended_with(pod, _ACCESS_WORDS)), None)
    if refused:
        words = quote(refused.last_exit)
        return unmet("AccessRefused", f"{plan.repository} can't be read: {words}. {_ACCEPT_TERMS}")
    if any(p.ready for p in situation.current_pods):
        return met("Loaded", f"{plan.repository} is loaded.")
    if situation.wanted_replicas == 0:
        return met("NoneNeeded", "No replica is wanted, so nothing is loaded.")
    waiting = situation.conversion and check_conversion(situation.model, plan, situation.conversion)
    if waiting:
        return waiting
    if any(pod.running for pod in situation.current_pods):
        return unmet("Loading", _describe_loading(plan))
    return unmet("WaitingForReplica", "Loading starts when a replica has its node and its image.")


def _describe_loading(plan: Plan) -> str:
    startup = plan.chosen.startup
    size = f"{plan.weights_bytes / 2**30:.1f} GiB"
    return (
        f"Loading {plan.repository} ({size}); the estimate is {startup.weights_s + startup.compile_s} s to readiness."
    )


def _find_missing_token(situation: Situation) -> Finding | None:
    """The kubelet names what a container can't start without; here only the token counts."""
    weights, namespace = situation.model.spec.weights, situation.model.metadata.namespace
    token = weights.hugging_face.token_secret_ref if weights and weights.hugging_face else None
    waiting = (pod for pod in situation.needed_pods if pod.waiting_reason == _MISSING_INPUT)
    if token is None:
        return None
    names = (f'secret "{token.name}"', f"Secret {namespace}/{token.name}")
    pod = next((pod for pod in waiting if any(name in pod.waiting_message for name in names)), None)
    if pod is None:
        return None
    command = f"kubectl -n {namespace} create secret generic {token.name} --from-file={token.key}=PATH_TO_TOKEN_FILE"
    return unmet(
        "TokenSecretMissing",
        f"Pod {pod.name} can't start: {quote(pod.waiting_message)}. Make it with: {command}",
    )


def check_workload(situation: Situation) -> Finding:
    """Do all wanted replicas answer their probes?"""
    if situation.plan is None:
        return unmet("NotPlanned", "No replica is started before the model is accepted.")
    if situation.wanted_replicas == 0:
        return met("NoneNeeded", "No replica is wanted.")
    ready = len(situation.ready_pods)
    progress = f"{ready} of {situation.wanted_replicas} replicas are ready"
    if situation.rolled_out and not situation.succession.ends:
        return met("ReplicasReady", f"{progress}.")
    refused = check_pod_creation(situation)
    if refused:
        return refused
    blocked = _check_waiting(situation.converter, progress) if situation.converter else None
    troubled = blocked or next(
        (found for pod in situation.standing_hosts if (found := _check_pod(pod, progress))), None
    )
    if troubled:
        return troubled
    if situation.succession.ends and ready >= situation.wanted_replicas:
        return met(REPLICA_ENDS_SOON, f"{progress}. {situation.succession.describe()}")
    if situation.ready_pods and len(situation.current_pods) < len(situation.standing_pods):
        return unmet("RollingOut", f"{progress}; a new revision is being rolled out.")
    return unmet("Starting", f"{progress}.")


def _check_pod(pod: PodView, progress: str) -> Finding | None:
    waiting = _check_waiting(pod, progress)
    if waiting:
        return waiting
    ended = f"{progress}. Pod {pod.name} was restarted {pod.restarts} times; it ended with {quote(pod.last_exit)}"
    if _ended_with(pod, _MEMORY_WORDS):
        return unmet("OutOfMemory", f"{ended}. {_NEED_LESS}")
    if pod.waiting_reason == "CrashLoopBackOff" or (pod.last_exit and not pod.ready):
        return unmet("CrashLooping", ended)
    return None


def _check_waiting(pod: PodView, progress: str) -> Finding | None:
    """What keeps the container from its start."""
    waiting = f"{progress}. Pod {pod.name}: {quote(pod.waiting_message)}"
    if pod.waiting_reason in _IMAGE_REASONS:
        return unmet("ImagePullFailed", f"{waiting} Check spec.engine.image.")
    if pod.waiting_reason == _MISSING_INPUT:
        return unmet("ContainerConfigError", waiting)
    return None


def _ended_with(pod: PodView, words: re.Pattern[str]) -> bool:
    """True when the engine's last words, in a replica that doesn't answer, speak of this."""
    return not pod.ready and words.search(pod.last_exit) is not None


def check_autoscaling(situation: Situation) -> Finding:
    """Does the autoscaler have what it needs to move the scale?"""
    if not situation.wants_autoscaler:
        return met("NotConfigured", "spec.scaling asks for no autoscaler; replicas change with `kubectl scale`.")
    if situation.plan is None:
        return unmet("NotPlanned", "No autoscaler is made before the model is accepted.")
    if situation.autoscaler is None:
        return unmet("Pending", "The HorizontalPodAutoscaler is being made.")
    if not situation.cluster.custom_metrics:
        return unmet("NoMetricsAdapter", f"The cluster serves no custom.metrics.k8s.io API, {_INSTALL_ADAPTER}")
    active = read_condition(situation.autoscaler, "ScalingActive")
    if active.get("status") == "False":
        return unmet(active.get("reason", "Inactive"), quote(active.get("message", "The autoscaler is not active.")))
    if active.get("status") != "True":
        return unmet(
            "WaitingForMetrics", "The HorizontalPodAutoscaler hasn't told yet that it reads the engine's queue."
        )
    return met("Active", "The HorizontalPodAutoscaler reads the engine's queue.")


def check_endpoint(situation: Situation) -> Finding:
    """Does at least one replica answer behind the model's own Service?"""
    if situation.cut_off:
        name = situation.model.metadata.name
        return unmet("ServicePending", f"Replicas answer, but no Service {name} of this model leads to them yet.")
    if situation.ready_pods:
        return met("Serving", f"{endpoint_url(situation.model)} is answered by {len(situation.ready_pods)} replicas.")
    if situation.plan is not None and situation.wanted_replicas == 0:
        return unmet("ScaledToZero", "No replica is wanted, so nothing answers.")
    return unmet("NoReadyReplica", "No replica answers yet.")
