"""Bytes that a model needs on each device of one replica: weights, KV cache, activations, overhead.

Weights follow from the dimensions: linear layers at the chosen precision; embeddings, head, norms, routers and the
vision and audio towers in 16 bit. Tensor parallelism divides everything but norms, routers, towers (vLLM's Pixtral and
Whisper encoders are whole on every device) and latent attention's projections inwards; key and value heads are copied
once there are more devices than heads. Pipeline parallelism divides the layers; embeddings and towers are in the first
stage and the head is in the last. Engines pad the vocabulary. The KV cache rule is vLLM's (vllm/config/model.py); the
activation figure is an estimate. All figures are of the fullest stage.
"""

from collections.abc import Mapping
from typing import Final

from mistral_operator.catalogue.architecture import Architecture, LatentAttention, StateSpace
from mistral_operator.catalogue.engine import Batching, MemoryRule
from mistral_operator.catalogue.model import Draft
from mistral_operator.planning.layout import WHOLE, Layout
from mistral_operator.planning.units import ceil_div, gib_bytes

SIXTEEN_BIT: Final = 2
LOGIT_BYTES: Final = 4
SIXTEENTHS: Final[Mapping[str, int]] = {"bf16": 32, "fp8": 16, "int8": 16, "nvfp4": 9}
"""Sixteenths of a byte a weight: NVFP4 has four bits and, for each 16 weights, one 8-bit scale."""
CACHE_BYTES: Final[Mapping[str, int]] = {"bf16": 2, "fp8": 1}
VOCABULARY_STEP: Final = 64
"""VLLM pads the vocabulary to a multiple of this."""


def device_weights_bytes(architecture: Architecture, precision: str, layout: Layout = WHOLE) -> int:
    """Bytes of weights on each device; with one device, of the whole model."""
    stage = layout.stage_layers(architecture.layers)
    linear = ceil_div(_stage_parameters(architecture, layout, stage) * SIXTEENTHS[precision], 16)
    tables = 1 if architecture.tied_embeddings or layout.pipeline_parallel > 1 else 2
    embeddings = tables * ceil_div(padded_vocabulary(architecture), layout.tensor_parallel) * architecture.hidden
    copied = stage * _copied_parameters(architecture) + architecture.hidden + tower_parameters(architecture)
    return linear + (embeddings + copied) * SIXTEEN_BIT


def kv_cache_bytes_per_token(
    architecture: Architecture, precision: str, layout: Layout = WHOLE, draft_layers: int = 0
) -> int:
    """Bytes of KV cache that one token takes on each device; 0 for Mamba. A draft's layers have caches of their own."""
    if architecture.state_space:
        return 0
    elements = 2 * _device_kv_heads(architecture, layout.tensor_parallel) * architecture.head_dim
    if architecture.latent:
        # One vector for all heads, so that no device can leave any of it to another.
        elements = architecture.latent.rank + architecture.latent.rope_dim
    return (layout.stage_layers(architecture.layers) + draft_layers) * elements * CACHE_BYTES[precision]


def sequence_state_bytes(architecture: Architecture, layout: Layout = WHOLE) -> int:
    """Bytes that one sequence takes on each device whatever its length: Mamba's state, in 16 bit; 0 for attention."""
    space = architecture.state_space
    if not space:
        return 0
    groups = max(space.groups, layout.tensor_parallel)
    channels = space.heads * space.head_dim + 2 * groups * space.state
    state = space.heads * space.head_dim * space.state
    layer = ceil_div(channels * (space.convolution - 1) + state, layout.tensor_parallel)
    return layout.stage_layers(architecture.layers) * layer * SIXTEEN_BIT


def cached_tokens(architecture: Architecture, context: int, batched_tokens: int) -> int:
    """Tokens of KV cache that a sequence of `context` tokens holds: no more than its window and what is being read."""
    window = architecture.sliding_window
    return context if window is None else min(context, window + batched_tokens)


def activation_bytes(architecture: Architecture, rule: MemoryRule, batch: Batching, layout: Layout = WHOLE) -> int:
    """Estimate of the peak of a forward pass over a full batch, on each device.

    The largest layer's tensors for all batched tokens (gate, up and product of the feed-forward, hidden states,
    residuals, each active expert's answer) times the rule's factor, the logits of all sequences, and the largest images
    or recordings where the model takes them.
    """
    experts, hidden = architecture.experts, architecture.hidden
    active = experts.active + experts.shared if experts else 0
    width = _activation_width(architecture)
    elements = ceil_div(3 * width, layout.tensor_parallel) + (6 + active) * hidden
    layer = int(batch.tokens * elements * SIXTEEN_BIT * rule.activation_factor)
    logits = batch.sequences * padded_vocabulary(architecture) * LOGIT_BYTES
    towers = gib_bytes(rule.vision_gib) if architecture.vision or architecture.audio else 0
    return layer + logits + towers


def overhead_bytes(rule: MemoryRule, devices: int) -> int:
    """Estimate of contexts, captured graphs and communication buffers on each device."""
    parallel = rule.communication_gib if devices > 1 else 0
    return gib_bytes(rule.context_gib + rule.graphs_gib + parallel)


def adapter_bytes(architecture: Architecture, slots: int, rank: int, layout: Layout = WHOLE) -> int:
    """Bytes of `slots` LoRA adapters on each device: both factors of every linear layer, in 16 bit.

    The factor at a layer's input is on every device, the one at its output is divided (vllm/lora/layers); taken as
    whole here, which is never too little.
    """
    head_width = architecture.heads * architecture.head_dim
    kv_width = architecture.kv_heads * architecture.head_dim
    attention = 2 * (architecture.hidden + head_width) + 2 * (architecture.hidden + kv_width)
    experts = architecture.experts
    widths = (experts.count + experts.shared) * experts.intermediate if experts else architecture.intermediate
    copies = experts.count + experts.shared if experts else 1
    feed_forward = 3 * (copies * architecture.hidden + widths)
    layers = layout.stage_layers(architecture.layers)
    return slots * rank * layers * (attention + ceil_div(feed_forward, layout.expert_devices)) * SIXTEEN_BIT


def draft_bytes(architecture: Architecture, draft: Draft | None, layout: Layout = WHOLE) -> int:
    """Bytes of a draft model on each device: its layers, and the layer that joins a token with a hidden state.

    Embeddings and head are the model's own, and all that it has is divided as the model's is
    (vllm/model_executor/models/mistral_eagle.py and mistral_large_3_eagle.py).
    """
    if draft is None:
        return 0
    attention = _attention_parameters(architecture, layout.tensor_parallel)
    dense = ceil_div(3 * architecture.hidden * architecture.intermediate, layout.tensor_parallel)
    feed_forward = _expert_parameters(architecture, layout) if draft.experts else dense
    joining = ceil_div(2 * architecture.hidden * architecture.hidden, layout.tensor_parallel)
    return ceil_div((draft.layers * (attention + feed_forward) + joining) * SIXTEENTHS[draft.precision], 16)


def padded_vocabulary(architecture: Architecture) -> int:
    """Rows of the embedding table."""
    return ceil_div(architecture.vocabulary, VOCABULARY_STEP) * VOCABULARY_STEP


def tower_parameters(architecture: Architecture) -> int:
    """Parameters of the vision and audio encoders."""
    return sum(tower.parameters for tower in (architecture.vision, architecture.audio) if tower)


def _stage_parameters(architecture: Architecture, layout: Layout, stage: int) -> int:
    """Parameters of the linear layers of `stage` layers on one device; those with experts are the larger ones."""
    if architecture.state_space:
        return stage * _state_space_parameters(architecture, architecture.state_space, layout.tensor_parallel)
    attention = _attention_parameters(architecture, layout.tensor_parallel)
    with_experts = min(stage, architecture.layers - architecture.experts.dense_layers) if architecture.experts else 0
    dense = ceil_div(3 * architecture.hidden * architecture.intermediate, layout.tensor_parallel)
    return stage * attention + with_experts * _expert_parameters(architecture, layout) + (stage - with_experts) * dense


def _expert_parameters(architecture: Architecture, layout: Layout) -> int:
    """Gate, up and down projections of one layer's experts, as far as they are on one device."""
    experts = architecture.experts
    if not experts:
        return 0
    one = 3 * architecture.hidden * experts.intermediate
    spread = ceil_div(experts.count, layout.expert_devices) * one
    routed = spread if layout.expert_parallel else ceil_div(experts.count * one, layout.tensor_parallel)
    return routed + ceil_div(experts.shared * one, layout.tensor_parallel)


def _attention_parameters(architecture: Architecture, tensor_parallel: int) -> int:
    """Query, key, value and output projections of one layer on one device."""
    if architecture.latent:
        return _latent_parameters(architecture, architecture.latent, tensor_parallel)
    queries = ceil_div(2 * architecture.heads * architecture.head_dim * architecture.hidden, tensor_parallel)
    keys = 2 * _device_kv_heads(architecture, tensor_parallel) * architecture.head_dim * architecture.hidden
    return queries + keys


def _latent_parameters(architecture: Architecture, latent: LatentAttention, tensor_parallel: int) -> int:
    """The projections into the small vectors are on every device; those out of them are divided by heads."""
    inward = architecture.hidden * (latent.query_rank + latent.rank + latent.rope_dim)
    head = (
        latent.query_rank * (latent.nope_dim + latent.rope_dim)
        + latent.rank * (latent.nope_dim + latent.value_dim)
        + latent.value_dim * architecture.hidden
    )
    return inward + ceil_div(architecture.heads * head, tensor_parallel)


def _state_space_parameters(architecture: Architecture, space: StateSpace, tensor_parallel: int) -> int:
    """Input and output projections of one Mamba 2 layer on one device; groups are copied as key heads are."""
    inner = architecture.hidden * space.expand
    groups = max(space.groups, tensor_parallel)
    projections = architecture.hidden * (2 * inner + 2 * groups * space.state + space.heads)
    convolution = (inner + 2 * groups * space.state) * space.convolution
    return ceil_div(projections + convolution + inner * architecture.hidden, tensor_parallel)


def _device_kv_heads(architecture: Architecture, tensor_parallel: int) -> int:
    return max(1, architecture.kv_heads // tensor_parallel)


def _activation_width(architecture: Architecture) -> int:
    if architecture.state_space:
        return architecture.hidden * architecture.state_space.expand
    experts = architecture.experts
    return (experts.active + experts.shared) * experts.intermediate if experts else architecture.intermediate


def _copied_parameters(architecture: Architecture) -> int:
    """Norms and expert router of one layer, which every device holds."""
    router = architecture.experts.count * architecture.hidden if architecture.experts else 0
    return 2 * architecture.hidden + router
