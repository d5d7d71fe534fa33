"""An accelerator as one machine has it, and the checks of a machine that need no model."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import ceil

from mistral_operator.catalogue.accelerator import Accelerator, MachineShape


def divide_accelerator(accelerator: Accelerator, shape: MachineShape) -> Accelerator:
    """The part of a GPU that a machine has which shares it with others: of its memory, bandwidth and operations."""
    share = shape.share
    return accelerator if share == 1 else scale_accelerator(accelerator, memory=share, compute=share)


def scale_accelerator(accelerator: Accelerator, *, memory: Fraction, compute: Fraction) -> Accelerator:
    """A part of an accelerator: so much of its memory and bandwidth, and of its operations."""
    return replace(
        accelerator,
        memory_gib=ceil(accelerator.memory_gib * memory),
        usable_memory_gib=accelerator.usable_memory_gib * memory.numerator / Decimal(memory.denominator),
        bandwidth_gb_s=_part(accelerator.bandwidth_gb_s, memory),
        bf16_tflops=_part(accelerator.bf16_tflops, compute),
        fp8_tflops=_part(accelerator.fp8_tflops, compute) if accelerator.fp8_tflops else None,
    )


def _part(amount: int, share: Fraction) -> int:
    return max(1, int(amount * share))


def read_version(version: str) -> tuple[int, ...]:
    """GKE's version as numbers: `1.34.0-gke.2201000` is (1, 34, 0, 2201000); what isn't one is empty."""
    numbers = version.replace("-gke.", ".").split(".")
    return tuple(int(number) for number in numbers) if all(number.isdecimal() for number in numbers) else ()
