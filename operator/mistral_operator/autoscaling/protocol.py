"""What every autoscaler can say about how it is set up."""

from typing import Any, Protocol

from mistral_operator.api.model import MistralModel


class Autoscaler(Protocol):
    """One way to move a model's replicas. It targets the MistralModel's scale, never a workload."""

    name: str

    def build(self, model: MistralModel, *, queue_metric: str) -> tuple[dict[str, Any], ...]:
        """Render the objects that scale `model` on `queue_metric`."""
        ...
