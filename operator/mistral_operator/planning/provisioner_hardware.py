"""What each provisioner can't make: slices, ways to buy, shared GPUs; and what to write where another one can."""

from dataclasses import dataclass

from mistral_operator.api.capacity import Sharing
from mistral_operator.catalogue.accelerator import MachineShape
from mistral_operator.planning.compute_class import takes_machine
from mistral_operator.planning.layout import Misfit
from mistral_operator.planning.provisioner_advice import FIELD, Circumstances, advise_provisioner
from mistral_operator.planning.types import Consumption, Provisioner


def check_hardware_of(
    provisioner: Provisioner,
    shape: MachineShape,
    consumption: Consumption,
    case: Circumstances,
    sharing: Sharing | None = None,
) -> Misfit | None:
    """Whether a provisioner can make such a node, bought like that, and its GPUs divided like this."""
    found = _find_obstacle(provisioner, shape, consumption) or _find_sharing_obstacle(provisioner, sharing)
    if found is None:
        return None

    def fits(other: Provisioner) -> bool:
        # Whether there are nodes like that is another question than who could make them.
        able = other is not Provisioner.EXISTING and not _find_sharing_obstacle(other, sharing)
        return able and not _find_obstacle(other, shape, consumption)

    advice = advise_provisioner(case, fits=fits)
    return Misfit(found.reason, f"{found.why}; {', or '.join(filter(None, (found.otherwise, advice)))}")


@dataclass(frozen=True, slots=True)
class _Obstacle:
    reason: str
    why: str
    otherwise: str
    """What to write whatever the provisioner."""


def _find_obstacle(provisioner: Provisioner, shape: MachineShape, consumption: Consumption) -> _Obstacle | None:
    if provisioner in (Provisioner.COMPUTE_CLASS, Provisioner.EXISTING) and shape.hosts > 1:
        return _Obstacle(
            "SlicesNeedNodePools",
            f"a slice of {shape.hosts} machines needs a node pool of its own, which {provisioner.value} doesn't make",
            "write hardware of one machine",
        )
    if provisioner is Provisioner.CONFIG_CONNECTOR and shape.placement_policy:
        return _Obstacle(
            "NeedsPlacementPolicy",
            f"a slice of {shape.hosts} {shape.machine_type} is placed by a workload policy of Compute Engine, which"
            f" {provisioner.value} doesn't make",
            "write other hardware",
        )
    if provisioner is Provisioner.COMPUTE_CLASS and not takes_machine(shape):
        return _Obstacle(
            "NotInComputeClass",
            f"no ComputeClass with {shape.machine_type} is known to work",
            "write other hardware",
        )
    return _find_purchase_obstacle(provisioner, consumption)


def _find_purchase_obstacle(provisioner: Provisioner, consumption: Consumption) -> _Obstacle | None:
    if provisioner is Provisioner.EXISTING and consumption in (Consumption.FLEX_START, Consumption.RESERVATION):
        return _Obstacle(
            "NothingIsBought",
            f"with {FIELD}: Existing the nodes are there, however they were bought, and {consumption.value} has no"
            " meaning",
            "leave consumption out",
        )
    if provisioner is Provisioner.CONFIG_CONNECTOR and consumption is Consumption.FLEX_START:
        return _Obstacle(
            "FlexStartNeedsContainerApi",
            "Config Connector's ContainerNodePool has no field for FlexStart",
            "write another consumption",
        )
    return None


def _find_sharing_obstacle(provisioner: Provisioner, sharing: Sharing | None) -> _Obstacle | None:
    if sharing is None or provisioner is Provisioner.CONTAINER_API:
        return None
    if provisioner is Provisioner.COMPUTE_CLASS and sharing.partition:
        words = f"a ComputeClass has no field for the partition {sharing.partition}"
        return _Obstacle("PartitionsNeedNodePools", words, "remove sharing")
    words = f"GPUs are shared on nodes that ContainerAPI makes, not with {provisioner.value} yet"
    return _Obstacle("SharingNeedsContainerApi", words, "remove sharing")
