"""An accelerator as one machine has it, and the checks of a machine that need no model."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from mistral_operator.catalogue.accelerator import Accelerator, MachineShape


def divide_accelerator(accelerator: Accelerator, shape: MachineShape) -> Accelerator:
    """The part of a GPU that a machine has which shares it with others: of its memory, bandwidth and operations."""
    share = shape.share
    if share == 1:
        return accelerator
    return replace(
        accelerator,
        memory_gib=int(accelerator.memory_gib * share),
        usable_memory_gib=accelerator.usable_memory_gib * share.numerator / Decimal(share.denominator),
        bandwidth_gb_s=int(accelerator.bandwidth_gb_s * share),
        bf16_tflops=_part(accelerator.bf16_tflops, share),
        fp8_tflops=_part(accelerator.fp8_tflops, share) if accelerator.fp8_tflops else None,
    )


def _part(amount: int, share: Fraction) -> int:
    return max(1, int(amount * share))


def read_version(version: str) -> tuple[int, ...]:
    """GKE's version as numbers: `1.34.0-gke.2201000` is (1, 34, 0, 2201000); what isn't one is empty."""
    numbers = version.replace("-gke.", ".").split(".")
    return tuple(int(number) for number in numbers) if all(number.isdecimal() for number in numbers) else ()
