"""A HorizontalPodAutoscaler on the engine's queue of waiting requests."""

from typing import Any, Final

from mistral_operator.api.model import MistralModel
from mistral_operator.api.names import API_VERSION, MODEL_KIND
from mistral_operator.api.scaling import ScalingTarget

KIND: Final = "HorizontalPodAutoscaler"
# Google's advice for throughput: start at 3 to 5 waiting requests per replica and raise until latency hurts.
DEFAULT_QUEUED_REQUESTS: Final = 5
# An accelerator takes minutes to come back, so it isn't given away at the first quiet moment.
SCALE_DOWN_WINDOW_S: Final = 300


class Hpa:
    """Renders one HorizontalPodAutoscaler."""

    name = "HPA"

    def build(self, model: MistralModel, *, queue_metric: str) -> tuple[dict[str, Any], ...]:
        """Render the content of the HorizontalPodAutoscaler: kind, name and spec, without the owner."""
        scaling = model.spec.scaling
        if scaling is None or scaling.max_replicas is None:
            return ()
        content = {
            "scaleTargetRef": {"apiVersion": API_VERSION, "kind": MODEL_KIND, "name": model.metadata.name},
            "minReplicas": max(1, scaling.min_replicas or 1),
            "maxReplicas": scaling.max_replicas,
            "metrics": [_queue_metric(scaling.target, queue_metric)],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": SCALE_DOWN_WINDOW_S}},
        }
        return ({"api_version": "autoscaling/v2", "kind": KIND, "name": model.metadata.name, "spec": content},)


def _queue_metric(target: ScalingTarget | None, metric: str) -> dict[str, Any]:
    queued = (target.queued_requests if target else None) or DEFAULT_QUEUED_REQUESTS
    return {
        "type": "Pods",
        "pods": {
            "metric": {"name": metric},
            "target": {"type": "AverageValue", "averageValue": str(queued)},
        },
    }
