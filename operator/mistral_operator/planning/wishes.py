"""The rungs that a user asked for, in their order; one that leaves everything open where none was."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from difflib import get_close_matches

from mistral_operator.api.capacity import CapacityOption, Sharing
from mistral_operator.api.model import MistralModelSpec
from mistral_operator.catalogue.accelerator import Accelerator, MachineShape
from mistral_operator.catalogue.types import Catalogue
from mistral_operator.planning.reservation import check_reservation
from mistral_operator.planning.sharing import divide_machine
from mistral_operator.planning.types import ClusterProfile, Consumption, PlanRefused, Provisioner


@dataclass(frozen=True, slots=True)
class Wish:
    """One rung: what is fixed of it. None or empty leaves it to the planner."""

    accelerator: str | None = None
    devices: int | None = None
    machine_type: str | None = None
    consumption: Consumption = Consumption.ON_DEMAND
    zones: tuple[str, ...] = ()
    topology: str | None = None
    reservation: str = ""
    sharing: Sharing | None = None

    @property
    def pins_layout(self) -> bool:
        """True when the user chose the number of devices, and so the price of a slow interconnect."""
        return any(fixed is not None for fixed in (self.devices, self.machine_type, self.topology))

    def mismatch(self, accelerator: Accelerator, shape: MachineShape) -> str:
        """Say what the user fixed differently from this shape; empty when it matches."""
        if self.machine_type not in (None, shape.machine_type):
            return f"machineType is {self.machine_type}"
        if self.accelerator not in (None, accelerator.id):
            return f"accelerator is {self.accelerator}"
        if self.devices not in (None, shape.total_devices):
            return f"devices is {self.devices}"
        if self.topology not in (None, shape.topology):
            return f"topology is {self.topology}"
        return ""


def read_wishes(
    spec: MistralModelSpec,
    catalogue: Catalogue,
    cluster: ClusterProfile,
    provisioner: Provisioner = Provisioner.CONTAINER_API,
) -> tuple[Wish, ...] | PlanRefused:
    """Read `spec.capacity.options`; refuse what the catalogue or the cluster does not have.

    Nodes that are there may be of a machine type that the catalogue doesn't know, or of a zone that isn't the
    cluster's own, and a replica may take a part of one.
    """
    asked = spec.capacity.options if spec.capacity else ()
    if not asked:
        return (Wish(),)
    wishes = []
    for index, option in enumerate(asked):
        field = f"spec.capacity.options[{index}]"
        if provisioner is Provisioner.EXISTING:
            there = {group.machine_type for group in cluster.nodes or ()}
            refused = _check_known(option, field, catalogue, there)
        else:
            refused = (
                _check_known(option, field, catalogue)
                or _check_shape(option, field, catalogue)
                or _check_sharing(option, field, catalogue)
                or _check_zones(option, field, cluster)
                or check_reservation(option, field, cluster)
            )
        if refused:
            return refused
        consumption = Consumption(option.consumption.value) if option.consumption else Consumption.ON_DEMAND
        accelerator = catalogue.accelerator_id(option.accelerator or "")
        wish = Wish(
            accelerator, _count_devices(option), option.machine_type, consumption, tuple(option.zones), option.topology
        )
        wishes.append(replace(wish, reservation=option.reservation or "", sharing=option.sharing))
    return tuple(wishes)


def _check_known(
    option: CapacityOption, field: str, catalogue: Catalogue, there: Collection[str] = ()
) -> PlanRefused | None:
    """`there` are machine types that nodes have, whatever the catalogue knows."""
    if option.accelerator and catalogue.accelerator_id(option.accelerator) is None:
        offered = _offer(option.accelerator.removeprefix("nvidia-"), list(catalogue.accelerators))
        return PlanRefused(
            "UnknownAccelerator",
            f"{field}.accelerator: {option.accelerator} is not in the catalogue; write {offered}{catalogue.fault_text}",
        )
    accelerator = catalogue.accelerators.get(catalogue.accelerator_id(option.accelerator or "") or "")
    if accelerator and not accelerator.machines:
        offered = ", ".join(name for name, item in catalogue.accelerators.items() if item.machines)
        return PlanRefused(
            "UnsupportedAccelerator",
            f"{field}.accelerator: the operator makes no machines with {accelerator.name}; write one of {offered}",
        )
    if option.machine_type and option.machine_type not in there and catalogue.machine(option.machine_type) is None:
        machine_types = [shape.machine_type for item in catalogue.accelerators.values() for shape in item.machines]
        offered = _offer(option.machine_type, machine_types)
        return PlanRefused(
            "UnknownMachineType",
            f"{field}.machineType: {option.machine_type} is not in the catalogue; write {offered}"
            f"{catalogue.fault_text}",
        )
    return None


def _check_shape(option: CapacityOption, field: str, catalogue: Catalogue) -> PlanRefused | None:
    """Check that some machine has all that was fixed together."""
    asked = catalogue.accelerator_id(option.accelerator or "")
    wish = Wish(asked, _count_devices(option), option.machine_type, topology=option.topology)
    pairs = [(item, shape) for item in catalogue.accelerators.values() for shape in item.machines]
    if any(not wish.mismatch(*pair) for pair in pairs):
        return None
    if option.topology and any(not replace(wish, topology=None).mismatch(*pair) for pair in pairs):
        return _refuse_topology(option, field, wish, pairs)
    if option.machine_type:
        found = catalogue.machine(option.machine_type)
        assert found is not None  # _check_known ran before
        accelerator, shape = found
        return PlanRefused(
            "HardwareMismatch",
            f"{field}: {shape.machine_type} has {shape.devices} × {accelerator.id};"
            " write that as accelerator and devices, or remove machineType",
        )
    counts = sorted({shape.total_devices for item, shape in pairs if asked in (None, item.id)})
    return PlanRefused(
        "UnknownDeviceCount",
        f"{field}.devices: no machine has {option.devices} {f'× {asked}' if asked else 'accelerators'};"
        f" write one of {', '.join(map(str, counts))}",
    )


def _count_devices(option: CapacityOption) -> int | None:
    """What is asked of a machine's devices: a replica that shares one leaves it open how many there are."""
    return None if option.sharing else option.devices


def _check_sharing(option: CapacityOption, field: str, catalogue: Catalogue) -> PlanRefused | None:
    """Check that the GPU can be shared like this, on some machine that was asked for."""
    if option.sharing is None:
        return None
    wish = Wish(catalogue.accelerator_id(option.accelerator or ""), machine_type=option.machine_type)
    pairs = [(item, shape) for item in catalogue.accelerators.values() for shape in item.machines]
    asked = [pair for pair in pairs if not wish.mismatch(*pair)]
    if any(divide_machine(*pair, option.sharing) for pair in asked):
        return None
    accelerator, shape = asked[0]  # _check_shape ran before
    why = _explain_undivided(accelerator, shape, catalogue.fault_text)
    return PlanRefused("SharingNotSupported", f"{field}.sharing: {why}")


def _explain_undivided(accelerator: Accelerator, shape: MachineShape, fault: str) -> str:
    if accelerator.kind != "gpu":
        return f"{accelerator.name} can't be shared; remove sharing, or write a GPU"
    if shape.share != 1:
        return f"{shape.machine_type} has a part of a GPU already; remove sharing, or write a larger machine"
    sizes = ", ".join(partition.name for partition in accelerator.partitions)
    advice = f"write one of {sizes}" if sizes else "write strategy: TimeSharing with clients"
    return f"no partition of that size is known of {accelerator.name}; {advice}{fault}"


def _refuse_topology(
    option: CapacityOption, field: str, wish: Wish, pairs: list[tuple[Accelerator, MachineShape]]
) -> PlanRefused:
    free = replace(wish, topology=None)
    offered = list(dict.fromkeys(s.topology for item, s in pairs if s.topology and not free.mismatch(item, s)))
    advice = f"write one of {', '.join(offered)}" if offered else "remove topology: only TPU slices have one"
    what = option.machine_type or option.accelerator
    return PlanRefused("UnknownTopology", f"{field}.topology: {what} has no {option.topology}; {advice}")


def _check_zones(option: CapacityOption, field: str, cluster: ClusterProfile) -> PlanRefused | None:
    strangers = [zone for zone in option.zones if cluster.zones and zone not in cluster.zones]
    if not strangers:
        return None
    return PlanRefused(
        "ZoneNotInCluster",
        f"{field}.zones: {', '.join(strangers)} is no zone of the cluster; write some of {', '.join(cluster.zones)}",
    )


def _offer(name: str, known: list[str]) -> str:
    return " or ".join(get_close_matches(name, known, n=3, cutoff=0.5) or known)
