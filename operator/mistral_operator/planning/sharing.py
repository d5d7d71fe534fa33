"""One GPU for several replicas: what each of them has of it, and how many replicas one machine holds."""

from dataclasses import dataclass, replace
from decimal import ROUND_DOWN, Decimal
from fractions import Fraction
from typing import Final

from mistral_operator.api.capacity import Sharing
from mistral_operator.catalogue.accelerator import Accelerator, MachineShape
from mistral_operator.planning.hardware import scale_accelerator

_UTILIZATION_STEP: Final = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Division:
    """How the GPUs of one machine are divided between replicas, each alike."""

    partition: str
    """MIG's size of a replica's part; empty where replicas take turns."""
    clients: int
    """Replicas that take turns on one GPU; 1 where each has a partition."""
    per_gpu: int
    """Replicas on one GPU."""
    gpus: int
    """GPUs of one machine."""

    @property
    def replicas(self) -> int:
        """Replicas that one machine holds."""
        return self.per_gpu * self.gpus

    @property
    def part(self) -> str:
        """What a replica has of a GPU: `1g.10gb` or `1/4`."""
        return self.partition or f"1/{self.clients}"

    @property
    def advice(self) -> str:
        """What to write where a replica's part is too small."""
        return "a larger sharing.partition" if self.partition else "fewer sharing.clients"


def divide_machine(accelerator: Accelerator, shape: MachineShape, sharing: Sharing | None) -> Division | None:
    """Divide a machine's GPUs as it was asked for; None where that wasn't, or can't be."""
    if sharing is None or accelerator.kind != "gpu" or shape.share != 1:
        return None
    if sharing.clients:
        return Division("", sharing.clients, sharing.clients, shape.devices)
    partition = accelerator.find_partition(sharing.partition or "")
    return Division(partition.name, 1, partition.count, shape.devices) if partition else None


def share_accelerator(accelerator: Accelerator, division: Division) -> Accelerator:
    """What one replica has of a GPU.

    A partition has its memory and multiprocessors to itself. Replicas that take turns could each use the whole memory,
    and are each given an equal part; that each has the same part of the time is what the estimates assume: the worst
    case, in which all are busy.
    """
    partition = accelerator.find_partition(division.partition)
    if partition is None:
        equal = Fraction(1, division.clients)
        return scale_accelerator(accelerator, memory=equal, compute=equal)
    part = scale_accelerator(accelerator, memory=partition.memory, compute=partition.compute)
    return replace(part, usable_memory_gib=partition.usable_memory_gib)


def share_utilization(utilization: Decimal, clients: int) -> Decimal:
    """The share of the whole device's memory that each of so many engines is told to take: together no more than one
    engine would.
    """
    return utilization if clients == 1 else (utilization / clients).quantize(_UTILIZATION_STEP, ROUND_DOWN)
