"""The number format of a checkpoint's weights, from what its configuration says of quantization."""

from dataclasses import dataclass
from typing import Final

from mistral_operator.catalogue.checkpoint_keys import MOST, Keys, quote

_FP8_METHODS: Final = ("fp8", "fbgemm-fp8")
_ALGORITHMS: Final = {"fp8": "fp8", "nvfp4": "nvfp4"}
_FORMATS: Final = {"float-quantized": "fp8", "naive-quantized": "fp8", "nvfp4-pack-quantized": "nvfp4"}
_NVFP4_GROUP: Final = 16
_PLANNED: Final = "planned are FP8 and NVFP4, and 16 bit without quantization"


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """Of the linear layers; what a configuration leaves in 16 bit beyond embeddings and head is not counted."""

    precision: str
    """`bf16`, `fp8` or `nvfp4`."""
    group: int | None = None
    """Weights along one side of a block that shares a scale, where there are such blocks."""


def read_number_format(quantization: Keys | None) -> NumberFormat:
    """Read `quantization_config` of a `config.json`, or `quantization` of a `params.json`."""
    if quantization is None:
        return NumberFormat("bf16")
    if quantization.has("qformat_weight"):
        return _read_mistral(quantization)
    method = quantization.text("quant_method").lower().replace("_", "-")
    if method in _FP8_METHODS:
        return NumberFormat("fp8", _read_block(quantization, "weight_block_size"))
    if method == "compressed-tensors":
        return _read_compressed(quantization)
    if method == "modelopt":
        return _read_named(quantization, "quant_algo", _ALGORITHMS)
    raise quantization.fault("quant_method", f"is {quote(method)}; {_PLANNED}")


def _read_mistral(quantization: Keys) -> NumberFormat:
    if quantization.text("qformat_weight") == "fp8_e4m3":
        return NumberFormat("fp8")
    raise quantization.fault("qformat_weight", f"is {quote(quantization.text('qformat_weight'))}; {_PLANNED}")


def _read_compressed(quantization: Keys) -> NumberFormat:
    """Several groups of layers may have formats of their own; one for all is planned."""
    formats = {
        _read_group(weights) for group in quantization.parts("config_groups") if (weights := group.part("weights"))
    }
    if not formats:
        return _read_named(quantization, "format", _FORMATS)
    if len(formats) > 1:
        raise quantization.fault("config_groups", f"has several number formats; {_PLANNED}, one for all layers")
    return formats.pop()


def _read_group(weights: Keys) -> NumberFormat:
    bits, kind = weights.whole("num_bits"), weights.text("type")
    size = weights.whole("group_size", default=0, least=-1)
    if kind == "float" and bits == 8 and size <= 0:
        return NumberFormat("fp8", _read_block(weights, "block_structure"))
    if kind == "float" and bits == 4 and size == _NVFP4_GROUP:
        return NumberFormat("nvfp4")
    groups = f" in groups of {size}" if size > 0 else ""
    raise weights.fault("num_bits", f"is {bits} of type {quote(kind)}{groups}; {_PLANNED}")


def _read_named(quantization: Keys, key: str, known: dict[str, str]) -> NumberFormat:
    name = quantization.text(key)
    if name.lower() in known:
        return NumberFormat(known[name.lower()])
    raise quantization.fault(key, f"is {quote(name)}; {_PLANNED}")


def _read_block(keys: Keys, key: str) -> int | None:
    """The larger side of a block of weights that shares a scale; None where a scale is of a whole row or matrix."""
    if not keys.has(key):
        return None
    sides = [side for side in keys.items(key) or [] if type(side) is int and 1 <= side <= MOST]
    if len(sides) != 2:
        raise keys.fault(key, "is no pair of whole numbers")
    return max(sides)
