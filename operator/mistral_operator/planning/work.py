"""How much of a model works on a token: parameters that compute, and bytes that are read."""

from dataclasses import dataclass
from functools import lru_cache

from mistral_operator.catalogue.architecture import Architecture
from mistral_operator.planning.layout import Layout
from mistral_operator.planning.memory import (
    SIXTEEN_BIT,
    SIXTEENTHS,
    device_weights_bytes,
    padded_vocabulary,
    tower_parameters,
)


@dataclass(frozen=True, slots=True)
class Reading:
    """Bytes of weights that a step reads, one device of each stage, all stages together."""

    whole_bytes: int
    experts_bytes: int
    """Of them, the experts that only some tokens are sent to."""
    missed: float
    """Chance that one token is not sent to a certain expert."""

    def read_bytes(self, tokens: int) -> float:
        """Of a step over `tokens` tokens: only experts that some token is sent to are read; tokens choose by chance."""
        untouched: float = self.missed**tokens
        return self.whole_bytes - self.experts_bytes * untouched


def describe_reading(architecture: Architecture, precision: str, layout: Layout, device_bytes: int) -> Reading:
    """`device_bytes` are the weights on one device of the fullest stage."""
    experts = architecture.experts
    towers = tower_parameters(architecture) * SIXTEEN_BIT
    routed = routed_parameters(architecture) * SIXTEENTHS[precision] // 16 // layout.expert_devices
    missed = 1 - experts.active / experts.count if experts else 0.0
    return Reading((device_bytes - towers) * layout.pipeline_parallel, routed, missed)


@lru_cache(maxsize=256)
def active_parameters(architecture: Architecture) -> int:
    """Parameters that one token passes: the shared and the active experts; the head, not the embeddings."""
    whole = device_weights_bytes(architecture, "bf16") // SIXTEEN_BIT
    embeddings = 0 if architecture.tied_embeddings else padded_vocabulary(architecture) * architecture.hidden
    return whole - embeddings - tower_parameters(architecture) - _idle_parameters(architecture)


def routed_parameters(architecture: Architecture) -> int:
    """Of all experts that tokens are sent to."""
    experts = architecture.experts
    if not experts:
        return 0
    return (architecture.layers - experts.dense_layers) * experts.count * 3 * architecture.hidden * experts.intermediate


def _idle_parameters(architecture: Architecture) -> int:
    """Of the experts that a token is not sent to."""
    experts = architecture.experts
    if not experts:
        return 0
    return routed_parameters(architecture) * (experts.count - experts.active) // experts.count
