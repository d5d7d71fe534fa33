"""One file of `accelerators/` → a typed and checked entry, with a shape for each machine and each slice."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from functools import partial
from math import prod
from typing import Final

from mistral_operator.catalogue.accelerator import USUAL_BOOT_DISK, Accelerator, MachineShape, Partition, PriceList
from mistral_operator.catalogue.provenance import read_provenance
from mistral_operator.catalogue.reader import Reader, is_count

KINDS = ("gpu", "tpu")
ARCHITECTURES = ("amd64", "arm64")
CONSUMPTIONS = ("OnDemand", "Spot", "FlexStart", "Reservation")
QUOTED = ("OnDemand", "Spot")
POLICIES = ("never", "slices", "always")
BOOT_DISKS = (USUAL_BOOT_DISK, "hyperdisk-balanced")
_MOST_LOCAL_SSDS: Final = 64
_MOST_DEVICES: Final = 10_000
"""In one machine or slice; layouts are tried for every divisor."""
_MOST_PARTITIONS: Final = 16
"""Of one device."""
_MOST_MEMORY_GIB: Final = 10_000
"""Of one device."""
_DEAREST: Final = 1000
"""US dollars an hour for one machine; more is most likely a slip, such as the price of a month."""


def parse_accelerator(reader: Reader) -> Accelerator:
    """Parse one file of `accelerators/`."""
    regions = reader.texts("regions")
    consumption = reader.texts("consumption")
    boot_disk = reader.optional(partial(reader.one_of, choices=BOOT_DISKS), "boot_disk", USUAL_BOOT_DISK)
    price = reader.inner("price")
    result = Accelerator(
        id=reader.text("id"),
        name=reader.text("name"),
        kind=reader.one_of("kind", KINDS),
        label=reader.text("label"),
        resource=reader.text("resource"),
        architecture=reader.text("architecture"),
        compute_capability=reader.optional(reader.decimal, "compute_capability", Decimal(0)),
        memory_gib=reader.whole("memory_gib", most=_MOST_MEMORY_GIB),
        usable_memory_gib=reader.decimal("usable_memory_gib"),
        bandwidth_gb_s=reader.whole("bandwidth_gb_s"),
        bf16_tflops=reader.whole("bf16_tflops"),
        fp8_tflops=reader.optional(reader.whole, "fp8_tflops", None),
        bf16=reader.flag("bf16"),
        fp8=reader.one_of("fp8", ("native", "weight-only", "none")),
        interconnect=reader.one_of("interconnect", ("nvlink", "pcie", "ici")),
        interconnect_gb_s=reader.whole("interconnect_gb_s"),
        node_start_s=reader.whole("node_start_s"),
        price=PriceList(region=price.text("region"), date=price.text("date"), source=price.text("source")),
        machines=tuple(
            replace(shape, boot_disk=boot_disk)
            for item in reader.items("machines")
            for shape in _machine_shapes(item, regions, consumption)
        ),
        zones=reader.optional(reader.texts, "zones", ()),
        cores=reader.optional(reader.whole, "cores", 1),
        fp4=reader.optional(reader.flag, "fp4", False),
        host_architecture=reader.optional(partial(reader.one_of, choices=ARCHITECTURES), "host_architecture", "amd64"),
        min_gke_version=reader.optional(reader.text, "min_gke_version", ""),
        partitions=tuple(map(_read_partition, reader.items("partitions") if reader.has("partitions") else ())),
        quotas=_read_quotas(reader.inner("quotas")) if reader.has("quotas") else {},
        provenance=read_provenance(reader),
    )
    price.done()
    reader.done()
    if result.usable_memory_gib > result.memory_gib:
        raise reader.error("usable_memory_gib", f"at most memory_gib = {result.memory_gib}", result.usable_memory_gib)
    _check_partitions(reader, result)
    return result


def _read_partition(reader: Reader) -> Partition:
    partition = Partition(
        name=reader.text("name"),
        count=reader.whole("count", least=2, most=_MOST_PARTITIONS),
        memory=reader.share("memory"),
        compute=reader.share("compute"),
        usable_memory_gib=reader.decimal("usable_memory_gib"),
    )
    reader.done()
    return partition


def _check_partitions(reader: Reader, accelerator: Accelerator) -> None:
    """All partitions of one GPU together are no more than the GPU."""
    for part in accelerator.partitions:
        shares = part.count * max(part.memory, part.compute)
        if shares > 1 or part.usable_memory_gib * part.count > accelerator.usable_memory_gib:
            raise reader.error("partitions", f"sizes of which {part.count} are no more than the device", part.name)


def _machine_shapes(reader: Reader, regions: tuple[str, ...], consumption: tuple[str, ...]) -> tuple[MachineShape, ...]:
    """One machine by itself, and every multi-host slice that is made of such machines."""
    machine = MachineShape(
        machine_type=reader.text("machine_type"),
        devices=reader.whole("devices", most=_MOST_DEVICES),
        cpu=reader.whole("cpu"),
        memory_gib=reader.whole("memory_gib"),
        regions=reader.optional(reader.texts, "regions", regions),
        consumption=reader.optional(reader.texts, "consumption", consumption),
        prices=read_prices(reader.inner("prices")),
        topology=reader.optional(reader.text, "topology", ""),
        share=reader.optional(reader.share, "share", Fraction(1)),
        local_ssds=reader.optional(partial(reader.whole, most=_MOST_LOCAL_SSDS), "local_ssds", 0),
    )
    slices = reader.optional(reader.texts, "slices", ())
    policy = reader.optional(partial(reader.one_of, choices=POLICIES), "placement_policy", "never")
    reader.done()
    for name in machine.consumption:
        _check_consumption(reader, "consumption", name)
    _check_chips(reader, "topology", machine.topology, machine.devices)
    alone, sliced = (replace(machine, placement_policy=policy in cases) for cases in (("always",), POLICIES[1:]))
    return (alone, *(_slice(reader, sliced, topology) for topology in slices))


def read_prices(reader: Reader) -> dict[str, Decimal]:
    """What one machine costs: way of buying → US dollars an hour."""
    prices: dict[str, Decimal] = {}
    for name in reader.keys():  # noqa: SIM118  a Reader is no dict
        _check_consumption(reader, "", name)
        prices[name] = reader.decimal(name)
        if prices[name] > _DEAREST:
            raise reader.error(name, f"at most {_DEAREST} dollars an hour", prices[name])
    return prices


def _read_quotas(reader: Reader) -> dict[str, str]:
    """Way of buying → quota metric. Reserved devices need no quota, and flex-start counts against that of spot."""
    for name in reader.keys():  # noqa: SIM118  a Reader is no dict
        if name not in QUOTED:
            raise reader.error("", f"one of {', '.join(QUOTED)}", name)
    return {name: reader.text(name) for name in reader.keys()}  # noqa: SIM118


def _check_consumption(reader: Reader, key: str, name: str) -> None:
    if name not in CONSUMPTIONS:
        raise reader.error(key, f"one of {', '.join(CONSUMPTIONS)}", name)


def _slice(reader: Reader, machine: MachineShape, topology: str) -> MachineShape:
    hosts = count_chips(topology) // machine.devices
    _check_chips(reader, "slices", topology, hosts * machine.devices)
    if hosts < 2 or hosts * machine.devices > _MOST_DEVICES:
        expected = f"topologies of more than {machine.devices} chips, and at most {_MOST_DEVICES}"
        raise reader.error("slices", expected, topology)
    return replace(machine, topology=topology, hosts=hosts)


def _check_chips(reader: Reader, key: str, topology: str, chips: int) -> None:
    if topology and count_chips(topology) != chips:
        raise reader.error(key, f"a topology of {chips} chips", topology)


def count_chips(topology: str) -> int:
    """Chips of a topology such as `2x4`; 0 for what isn't one."""
    sides = topology.split("x")
    return prod(int(side) for side in sides) if all(map(is_count, sides)) else 0
