"""ComputeClasses of GKE: which rungs of a ladder one of them can be for, and what one can't do.

A class is a list of priorities that GKE goes through by itself. The pods are the same whichever of them gives the node,
so it can hold only ways to buy one machine; the ladder moves between classes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import groupby
from typing import Final

from mistral_operator.catalogue.accelerator import MachineShape
from mistral_operator.planning.hardware import read_version
from mistral_operator.planning.types import Consumption, PlannedOption, Purchase
from mistral_operator.planning.units import exact_dollars_text

FIRST_VERSION: Final = "1.33.3-gke.1136000"
"""From here on GKE makes the pools of a class without node auto-provisioning of the whole cluster."""
_UNKNOWN_MACHINES: Final = ("tpu7x-", "a4x-")
"""Google's own examples have no class with them, and their pools need more than a class can say."""
_WORDS: Final = {
    Consumption.ON_DEMAND: "on demand",
    Consumption.SPOT: "spot",
    Consumption.FLEX_START: "flex-start",
    Consumption.RESERVATION: "reserved",
}


def check_class_version(version: str) -> str:
    """What is wrong with a cluster's version; empty where nothing is, or where it isn't known."""
    current = read_version(version)
    if not current or current >= read_version(FIRST_VERSION):
        return ""
    return f"GKE makes node pools for a ComputeClass from {FIRST_VERSION}, and the cluster has {version}"


def takes_machine(shape: MachineShape) -> bool:
    """Whether a class can have such a machine at all; slices are looked at elsewhere."""
    return not shape.machine_type.startswith(_UNKNOWN_MACHINES)


def merge_runs(options: Sequence[PlannedOption]) -> tuple[PlannedOption, ...]:
    """One option for each run of options whose pods are the same; the order of all purchases is kept."""
    return tuple(_merge(tuple(run)) for _, run in groupby(options, key=_pod_shape))


def _pod_shape(option: PlannedOption) -> PlannedOption:
    """The option without all that is only about how and where its machines are bought."""
    return replace(
        option,
        name="",
        consumption=Consumption.ON_DEMAND,
        zones=(),
        reservation="",
        max_run_s=0,
        hourly_cost=None,
        price_note="",
        throughput=None,
        notes=(),
    )


def _merge(run: Sequence[PlannedOption]) -> PlannedOption:
    """Costs are those of the dearest: GKE chooses, and nobody is asked."""
    first, dearest = run[0], max(run, key=_cost_key)
    if len(run) == 1:
        return replace(first, notes=(*first.notes, *_note_class(first.purchases)))
    purchases = tuple(purchase for option in run for purchase in option.purchases)
    modes = dict.fromkeys(option.consumption for option in run)
    notes = dict.fromkeys(note for option in run for note in option.notes)
    return replace(
        first,
        name="-".join((first.name, *(mode.value.lower() for mode in modes if mode is not first.consumption))),
        hourly_cost=dearest.hourly_cost,
        price_note=dearest.price_note,
        throughput=dearest.throughput,
        notes=(*notes, *_note_class(purchases)),
        alternatives=purchases,
    )


def _cost_key(option: PlannedOption) -> tuple[bool, Decimal]:
    """One without a price may cost anything."""
    return option.hourly_cost is None, option.hourly_cost or Decimal(0)


def _note_class(purchases: Sequence[Purchase]) -> Iterator[str]:
    if len(purchases) > 1:
        yield (
            f"GKE itself goes from one to the next when it has no machine: {_list(purchases)}; spend limits count the"
            " dearest of them, and a stock-out in all zones of one bars it for about 5 minutes"
        )
    yield (
        "a ComputeClass has no bound on its machines: GKE makes one for any pod that selects the class, in any"
        " namespace, so bound each namespace's devices by a ResourceQuota; GKE keeps an empty machine for about 10"
        " minutes"
    )


def _list(purchases: Iterable[Purchase]) -> str:
    return ", then ".join(map(_word, purchases))


def _word(purchase: Purchase) -> str:
    where = f" of {purchase.reservation}" if purchase.reservation else ""
    cost = purchase.hourly_cost
    price = "at an unknown price" if cost is None else f"at {exact_dollars_text(cost)}"
    return f"{_WORDS[purchase.consumption]}{where} in {', '.join(sorted(purchase.zones)) or 'any zone'} {price}"
