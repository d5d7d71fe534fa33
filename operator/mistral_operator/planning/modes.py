"""Ways to buy a machine: what each asks of machine and cluster, and what a reader of the plan should know of it."""

from collections.abc import Iterator
from typing import Final

from mistral_operator.catalogue.accelerator import MachineShape
from mistral_operator.planning.hardware import read_version
from mistral_operator.planning.layout import Misfit
from mistral_operator.planning.types import Consumption

DAY_S: Final = 86_400
LONGEST_FLEX_START_S: Final = 7 * DAY_S
"""Google ends such a machine after this time at the latest."""
FLEX_START_SINCE: Final = {"gpu": "1.32.2-gke.1652000", "tpu": "1.33.0-gke.1712000"}
"""Kind of accelerator → first GKE version. Source: Google's page on flex-start provisioning in GKE."""
UNNAMED: Final = tuple(mode for mode in Consumption if mode is not Consumption.RESERVATION)
"""Ways to buy a machine that need no name of anything."""
_STEADIEST_FIRST: Final = (Consumption.RESERVATION, Consumption.ON_DEMAND, Consumption.FLEX_START, Consumption.SPOT)


def rank_steadiness(consumption: Consumption) -> int:
    """0 for what is likeliest to be had and to stay, in the order that Google gives for inference."""
    return _STEADIEST_FIRST.index(consumption)


def longest_run_s(consumption: Consumption) -> int:
    """Seconds after which a node ends by itself; 0 where it doesn't."""
    return LONGEST_FLEX_START_S if consumption is Consumption.FLEX_START else 0


def check_flex_start(kind: str, shape: MachineShape, cluster_version: str) -> Misfit | None:
    """Check what flex-start asks beyond being sold; `kind` is the accelerator's."""
    if shape.hosts > 1:
        return Misfit(
            "FlexStartIsSingleHost",
            f"a slice of {shape.hosts} machines is whole or not there, and FlexStart brings machines one by one, of"
            " which each ends by itself; write consumption: Spot or Reservation, or hardware of one machine",
        )
    first, current = FLEX_START_SINCE[kind], read_version(cluster_version)
    if current and current < read_version(first):
        return Misfit(
            "ClusterTooOld",
            f"FlexStart needs GKE {first} for {kind.upper()}s, and the cluster has {cluster_version}; upgrade it, or"
            " write another consumption",
        )
    return None


def advise_mode(shape: MachineShape) -> str:
    """How the machine is sold, as something to write."""
    sold = [mode for mode in Consumption if mode.value in shape.consumption]
    if not sold:
        return "write other hardware"
    named = " and reservation: <name>" if sold[0] is Consumption.RESERVATION else ""
    return f"write consumption: {sold[0].value}{named}"


def note_mode(consumption: Consumption, reservation: str) -> Iterator[str]:
    """What should be known of a replica on such a machine."""
    match consumption:
        case Consumption.SPOT:
            yield "spot capacity can be taken back by Google at any time, with about 15 seconds for running requests"
        case Consumption.FLEX_START:
            yield (
                f"a flex-start node ends after at most {LONGEST_FLEX_START_S // DAY_S} days, and the replica on it with"
                " it; the next one waits for a machine, for how long nobody knows, so write replicas: 2 or more for a"
                " model that has to answer all the time"
            )
        case Consumption.RESERVATION:
            yield (
                f"nodes come out of reservation {reservation} and nowhere else: when it is full, further replicas wait,"
                " so a roll-out ends a replica before it starts the next one; it is paid for even when nothing runs"
            )
        case Consumption.ON_DEMAND:
            return
