"""The dimensions of a model that decide about memory and about how it can be split. Frozen."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Experts:
    """The experts of a mixture-of-experts layer."""

    count: int
    active: int
    """Experts that work on one token."""
    intermediate: int
    """Inner width of one expert."""
    shared: int = 0
    """Experts that work on every token besides."""
    dense_layers: int = 0
    """First layers that have no experts but one feed-forward of the model's own width."""


@dataclass(frozen=True, slots=True)
class LatentAttention:
    """Multi-head latent attention (MLA): one small vector a token stands for the keys and values of all heads."""

    query_rank: int
    rank: int
    """Of the vector that keys and values are made from."""
    nope_dim: int
    """Of a head's query and key, without position."""
    rope_dim: int
    """Of a head's query and key, with position; the key's part is the same for all heads."""
    value_dim: int


@dataclass(frozen=True, slots=True)
class VisionTower:
    """The image encoder in front of the language model, kept in 16 bit."""

    encoder: str
    parameters: int
    layers: int | None
    """None where it was not found, as the three below."""
    hidden: int | None
    patch: int | None
    """Pixels along one side of a patch."""
    max_image: int | None
    """Pixels along the longer side of the largest image."""


@dataclass(frozen=True, slots=True)
class AudioTower:
    """The audio encoder in front of the language model, kept in 16 bit."""

    encoder: str
    parameters: int
    layers: int
    hidden: int


@dataclass(frozen=True, slots=True)
class StateSpace:
    """Mamba 2 layers: a state of fixed size for each sequence stands in for the KV cache."""

    heads: int
    head_dim: int
    state: int
    groups: int
    expand: int
    """Inner width as a multiple of the hidden size."""
    convolution: int
    """Tokens that the short convolution sees."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """The dimensions that decide about memory and about how the model can be split."""

    kind: str
    """`dense`, `moe` or `mamba`."""
    layers: int
    hidden: int
    intermediate: int
    """0 for Mamba, as the three below."""
    heads: int
    kv_heads: int
    head_dim: int
    """Read, never derived: it is not hidden / heads for every model."""
    vocabulary: int
    tied_embeddings: bool
    sliding_window: int | None
    """Tokens that a layer looks back at; None where it sees the whole context."""
    experts: Experts | None
    vision: VisionTower | None
    latent: LatentAttention | None = None
    """None for ordinary attention, with keys and values for each head or group of heads."""
    audio: AudioTower | None = None
    state_space: StateSpace | None = None
    """None for every model with attention."""
