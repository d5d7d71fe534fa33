"""No autoscaler: `spec.replicas` belongs to people."""

from typing import Any

from mistral_operator.api.model import MistralModel


class NoAutoscaler:
    """Renders nothing."""

    name = "None"

    def build(self, model: MistralModel, *, queue_metric: str) -> tuple[dict[str, Any], ...]:
        """Render nothing, whatever the metric."""
        return ()
