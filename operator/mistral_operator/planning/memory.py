"""Bytes that a model needs on each device of one replica: weights, KV cache, activations, overhead.

Weights follow from the dimensions: linear layers at the chosen precision; embeddings, head, norms and the vision tower
in 16 bit. Tensor parallelism divides everything but norms and expert routers; key and value heads are copied once there
are more devices than heads. Pipeline parallelism divides the layers; the embeddings are in the first stage and the head
is in the last. The KV cache rule is vLLM's (vllm/config/model.py); the activation figure is an estimate.
"""

from dataclasses import dataclass
from fractions import Fraction

from mistral_operator.catalogue.architecture import Architecture, LatentAttention
from mistral_operator.catalogue.engine import Batching, MemoryRule
from mistral_operator.planning.units import gib_bytes

SIXTEEN_BIT = 2
LOGIT_BYTES = 4
BYTES_PER_PARAMETER = {"bf16": 2, "fp8": 1, "int8": 1}


@dataclass(frozen=True, slots=True)
class Layout:
    """How one replica's model is split over its devices."""

    tensor_parallel: int = 1
    pipeline_parallel: int = 1

    @property
    def devices(self) -> int:
        """Devices of all pipeline stages."""
        return self.tensor_parallel * self.pipeline_parallel

    def stage_layers(self, layers: int) -> int:
        """Layers of the largest pipeline stage."""
        return -(-layers // self.pipeline_parallel)


WHOLE = Layout()
"""Everything on one device."""


def device_weights_bytes(architecture: Architecture, precision: str, layout: Layout = WHOLE) -> int:
    """Bytes of weights on each device of the fullest stage; with one device, of the whole model."""
    linear, tensor_parallel = BYTES_PER_PARAMETER[precision], layout.tensor_parallel
    attention = _attention_parameters(architecture, tensor_parallel)
    feed_forward = Fraction(_feed_forward_parameters(architecture), tensor_parallel)
    layers = layout.stage_layers(architecture.layers) * (
        (attention + feed_forward) * linear + _replicated_parameters(architecture) * SIXTEEN_BIT
    )
    tables = 1 if architecture.tied_embeddings or layout.pipeline_parallel > 1 else 2
    embeddings = Fraction(tables * architecture.vocabulary * architecture.hidden, tensor_parallel)
    vision = Fraction(architecture.vision.parameters if architecture.vision else 0, tensor_parallel)
    return -int(-(layers + (embeddings + vision + architecture.hidden) * SIXTEEN_BIT) // 1)


def kv_cache_bytes_per_token(architecture: Architecture, precision: str, layout: Layout = WHOLE) -> int:
    """Bytes of KV cache that one token takes on each device of the fullest stage."""
    elements = 2 * _device_kv_heads(architecture, layout.tensor_parallel) * architecture.head_dim
    if architecture.latent:
        # One vector for all heads, so that no device can leave any of it to another.
        elements = architecture.latent.rank + architecture.latent.rope_dim
    return layout.stage_layers(architecture.layers) * elements * BYTES_PER_PARAMETER[precision]


def activation_bytes(architecture: Architecture, rule: MemoryRule, batch: Batching, tensor_parallel: int = 1) -> int:
    """Estimate of the peak of a forward pass over a full batch, on each device.

    The largest layer's tensors for all batched tokens (gate, up and product of the feed-forward, hidden states,
    residuals) times the rule's factor, the logits of all sequences, and the largest images where the model sees.
    """
    experts = architecture.experts
    width = (experts.active + experts.shared) * experts.intermediate if experts else architecture.intermediate
    elements = 3 * Fraction(width, tensor_parallel) + 6 * architecture.hidden
    layer = batch.tokens * elements * SIXTEEN_BIT * Fraction(rule.activation_factor)
    logits = batch.sequences * architecture.vocabulary * LOGIT_BYTES
    vision = gib_bytes(rule.vision_gib) if architecture.vision else 0
    return -int(-layer // 1) + logits + vision


def overhead_bytes(rule: MemoryRule, devices: int) -> int:
    """Estimate of contexts, captured graphs and communication buffers on each device."""
    parallel = rule.communication_gib if devices > 1 else 0
    return gib_bytes(rule.context_gib + rule.graphs_gib + parallel)


def _attention_parameters(architecture: Architecture, tensor_parallel: int) -> Fraction:
    """Query, key, value and output projections of one layer on one device."""
    if architecture.latent:
        return _latent_parameters(architecture, architecture.latent, tensor_parallel)
    queries = Fraction(2 * architecture.heads * architecture.head_dim * architecture.hidden, tensor_parallel)
    keys = 2 * _device_kv_heads(architecture, tensor_parallel) * architecture.head_dim * architecture.hidden
    return queries + keys


def _latent_parameters(architecture: Architecture, latent: LatentAttention, tensor_parallel: int) -> Fraction:
    """The projections into the small vectors are on every device; those out of them are divided by heads."""
    inward = architecture.hidden * (latent.query_rank + latent.rank + latent.rope_dim)
    head = (
        latent.query_rank * (latent.nope_dim + latent.rope_dim)
        + latent.rank * (latent.nope_dim + latent.value_dim)
        + latent.value_dim * architecture.hidden
    )
    return inward + Fraction(architecture.heads * head, tensor_parallel)


def _device_kv_heads(architecture: Architecture, tensor_parallel: int) -> int:
    return max(1, architecture.kv_heads // tensor_parallel)


def _feed_forward_parameters(architecture: Architecture) -> int:
    """Gate, up and down projections of one layer, of all experts."""
    experts = architecture.experts
    width = (experts.count + experts.shared) * experts.intermediate if experts else architecture.intermediate
    return 3 * architecture.hidden * width


def _replicated_parameters(architecture: Architecture) -> int:
    """Norms and expert router of one layer, which every device holds."""
    router = architecture.experts.count * architecture.hidden if architecture.experts else 0
    return 2 * architecture.hidden + router
