"""How much of a model works on a token: parameters that compute, and bytes that are read."""

from mistral_operator.catalogue.architecture import Architecture, Experts
from mistral_operator.planning.layout import WHOLE, Layout
from mistral_operator.planning.memory import SIXTEENTHS, device_weights_bytes, padded_vocabulary, tower_parameters


def active_parameters(architecture: Architecture) -> int:
    """Parameters that one token passes: the shared and the active experts; the head, not the embeddings."""
    whole = device_weights_bytes(architecture, "bf16", WHOLE) // 2
    tables = 1 if architecture.tied_embeddings else 2
    embeddings = (tables - 1) * padded_vocabulary(architecture) * architecture.hidden
    return whole - embeddings - tower_parameters(architecture) - _idle_parameters(architecture)


def read_bytes(architecture: Architecture, precision: str, layout: Layout, tokens: int) -> int:
    """Bytes of weights that a step over `tokens` tokens reads on one device of each stage, all stages together.

    Of the experts only those are read that some token is sent to; tokens choose as if by chance.
    """
    stage = device_weights_bytes(architecture, precision, layout)
    towers = tower_parameters(architecture) * 2
    all_stages = (stage - towers) * layout.pipeline_parallel
    if not architecture.experts:
        return all_stages
    touched = _touched_share(architecture.experts, tokens)
    routed = _routed_parameters(architecture) * SIXTEENTHS[precision] // 16 // layout.expert_devices
    return all_stages - int(routed * (1 - touched))


def _touched_share(experts: Experts, tokens: int) -> float:
    """The share of experts that at least one of `tokens` tokens is sent to."""
    missed: float = (1 - experts.active / experts.count) ** tokens
    return 1 - missed


def _routed_parameters(architecture: Architecture) -> int:
    experts = architecture.experts
    if not experts:
        return 0
    return (architecture.layers - experts.dense_layers) * experts.count * 3 * architecture.hidden * experts.intermediate


def _idle_parameters(architecture: Architecture) -> int:
    """Of the experts that a token is not sent to."""
    experts = architecture.experts
    if not experts:
        return 0
    return _routed_parameters(architecture) * (experts.count - experts.active) // experts.count
