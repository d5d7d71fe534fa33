"""The encoders of a checkpoint for images and sound: their dimensions, and from these the parameters, an estimate."""

from typing import Final

from mistral_operator.catalogue.architecture import AudioTower, VisionTower
from mistral_operator.catalogue.checkpoint_keys import Keys

_ENCODER: Final = "by its configuration"


def read_vision(keys: Keys | None) -> VisionTower | None:
    """Read `vision_config` or `vision_encoder`, a Pixtral encoder: gated feed-forwards, which have three matrices."""
    if keys is None:
        return None
    layers, hidden = keys.whole("num_hidden_layers"), keys.whole("hidden_size")
    inner = keys.whole("intermediate_size", default=4 * hidden)
    parameters = layers * (4 * hidden * hidden + 3 * hidden * inner)
    patch, image = (keys.whole(name) if keys.has(name) else None for name in ("patch_size", "image_size"))
    return VisionTower(_ENCODER, parameters, layers, hidden, patch, image)


def read_audio(keys: Keys | None, *, realtime: bool = False) -> AudioTower | None:
    """Read `audio_config` or `encoder_args`, a Whisper encoder; one for speech as it comes has gated feed-forwards."""
    if keys is None:
        return None
    layers = keys.whole("num_hidden_layers", "encoder_layers", "n_layers")
    hidden = keys.whole("hidden_size", "d_model", "dim")
    inner = keys.whole("intermediate_size", "encoder_ffn_dim", "hidden_dim")
    heads = keys.whole("num_attention_heads", "encoder_attention_heads", "n_heads")
    width = heads * keys.whole("head_dim") if keys.has("head_dim") else hidden
    matrices = 3 if realtime or keys.flag("causal") else 2
    parameters = layers * (4 * hidden * width + matrices * hidden * inner)
    return AudioTower(_ENCODER, parameters, layers, hidden)
