"""Number formats that an accelerator can hold and compute, and an engine has code for."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from mistral_operator.catalogue.accelerator import Accelerator
from mistral_operator.catalogue.engine import Engine
from mistral_operator.catalogue.model import Draft
from mistral_operator.planning.layout import Misfit

LEAST_FP4_CAPABILITY: Final = Decimal("8.0")
"""VLLM holds NVFP4 weights on older GPUs than Blackwell and computes in 16 bit (its Marlin kernels), from here on."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of an engine; None leaves it to the planner."""

    precision: str
    """Of the weights on the device."""
    kv_cache_precision: str
    context_length: int | None = None
    concurrency: int | None = None
    group: int | None = None
    """Weights along one side of a block that shares a scale; None for formats without blocks."""
    adapters: int = 0
    """LoRA adapters that are kept on the devices."""
    adapter_rank: int = 16
    draft: Draft | None = None
    """The model that guesses tokens ahead."""


def check_formats(engine: Engine, accelerator: Accelerator, demand: Demand) -> Misfit | None:
    """Check that the accelerator can hold and compute the number formats of weights and KV cache."""
    return _check_weights(accelerator, demand.precision) or _check_kv_cache(engine, accelerator, demand)


def is_weight_only(accelerator: Accelerator, precision: str) -> bool:
    """Whether the device stores weights in this format and computes in 16 bit: memory is saved, time is not."""
    if precision == "nvfp4":
        return not accelerator.fp4
    return precision == "fp8" and accelerator.fp8 == "weight-only"


def _check_weights(accelerator: Accelerator, precision: str) -> Misfit | None:
    if precision == "fp8" and accelerator.fp8 == "none":
        return Misfit("PrecisionNotSupported", f"{accelerator.name} has no FP8; write spec.engine.precision: BF16")
    if precision == "nvfp4" and not accelerator.fp4 and accelerator.compute_capability < LEAST_FP4_CAPABILITY:
        return Misfit(
            "PrecisionNotSupported",
            f"NVFP4 weights need an NVIDIA GPU of compute capability {LEAST_FP4_CAPABILITY} or more, which"
            f" {accelerator.name} is not; write spec.engine.precision: Auto",
        )
    if precision in ("bf16", "fp8", "nvfp4") and not accelerator.bf16:
        return Misfit(
            "PrecisionNotSupported", f"{accelerator.name} has no bfloat16; write an accelerator that has, such as l4"
        )
    return None


def _check_kv_cache(engine: Engine, accelerator: Accelerator, demand: Demand) -> Misfit | None:
    if demand.kv_cache_precision not in engine.kv_cache_precisions:
        return Misfit(
            "PrecisionNotSupported",
            f"{engine.name} has no FP8 KV cache here; write spec.engine.kvCachePrecision: BF16, or leave it out",
        )
    if demand.kv_cache_precision == "fp8" and accelerator.compute_capability < engine.fp8_kv_cache_capability:
        return Misfit(
            "PrecisionNotSupported",
            f"an FP8 KV cache needs compute capability {engine.fp8_kv_cache_capability}, and {accelerator.name} has"
            f" {accelerator.compute_capability}; write spec.engine.kvCachePrecision: BF16",
        )
    return None
