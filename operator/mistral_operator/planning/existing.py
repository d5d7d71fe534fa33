"""Nodes that are there as hardware to plan for: whole, or for GPUs a part of their devices. Nothing is made."""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Final

from mistral_operator.api.model import MistralModelSpec
from mistral_operator.api.names import ACCELERATOR_LABEL
from mistral_operator.api.pod import Pod
from mistral_operator.catalogue.accelerator import Accelerator, MachineShape
from mistral_operator.catalogue.types import Catalogue
from mistral_operator.planning.candidate import Candidate, Task, list_candidates, runtimes_for
from mistral_operator.planning.hardware import divide_accelerator
from mistral_operator.planning.layout import Misfit
from mistral_operator.planning.nodes import (
    ARCHITECTURE_LABEL,
    GPU_LABEL,
    MACHINE_LABEL,
    PRODUCT_LABEL,
    TOPOLOGY_LABEL,
    TPU_LABEL,
    ZONE_LABEL,
    NodeGroup,
    find_accelerator,
    find_hardware_label,
    find_missing,
    find_untolerated,
    write_labels,
)
from mistral_operator.planning.provisioner_advice import Circumstances, advise_provisioner
from mistral_operator.planning.types import ClusterProfile, Consumption, PlanRefused, Provisioner
from mistral_operator.planning.wishes import Wish

_MOST_TOLD: Final = 4
_GKE: Final = "GKE"


def read_selector(spec: MistralModelSpec) -> dict[str, str]:
    """The labels that a user asks of nodes, in either place."""
    return {**(spec.pod or Pod()).node_selector, **own_selector(spec)}


def own_selector(spec: MistralModelSpec) -> dict[str, str]:
    """The labels of `spec.capacity.nodes`."""
    nodes = spec.capacity.nodes if spec.capacity else None
    return nodes.selector if nodes else {}


def check_unused(spec: MistralModelSpec, provisioner: Provisioner, case: Circumstances) -> PlanRefused | None:
    """Nodes that are selected and wouldn't be used are a mistake."""
    if provisioner is Provisioner.EXISTING or spec.capacity is None or spec.capacity.nodes is None:
        return None
    return PlanRefused(
        "NodesNotUsed",
        f"spec.capacity.nodes selects nodes that are there, and {provisioner.value} makes others; remove it, or"
        f" {advise_provisioner(case, fits=lambda other: other is Provisioner.EXISTING)}",
    )


def select_groups(spec: MistralModelSpec, cluster: ClusterProfile) -> tuple[NodeGroup, ...] | None:
    """Those of the cluster's nodes that the spec selects; None where nothing is known of them."""
    if cluster.nodes is None:
        return None
    selector = read_selector(spec)
    return tuple(group for group in cluster.nodes if not find_missing(dict(group.labels), selector))


def check_there(spec: MistralModelSpec, task: Task, wishes: tuple[Wish, ...]) -> PlanRefused | None:
    """Whether each wish is of something that is there, or on GKE that a pool may be scaled up to, as a machine type
    of Google's says.
    """
    for index, wish in enumerate(wishes):
        if not _may_come(task, wish):
            field = f"spec.capacity.options[{index}]" if spec.capacity and spec.capacity.options else ""
            refused = _find_absence(spec, task, wish, field)
            if refused:
                return refused
    return None


def _may_come(task: Task, wish: Wish) -> bool:
    """Whether nodes that aren't there may come for the wish: nobody but GKE brings Google's machines."""
    known = wish.machine_type is not None and task.catalogue.machine(wish.machine_type) is not None
    return known and task.cluster.provider == _GKE


def _find_absence(spec: MistralModelSpec, task: Task, wish: Wish, field: str) -> PlanRefused | None:
    pin = ""
    if task.cluster.provider == _GKE:
        pin = "; or write a machineType in spec.capacity.options for a pool that has no node yet"
    if task.nodes is None:
        return PlanRefused(
            "NodesUnknown",
            f"nothing is known of the cluster's nodes; give them with --cluster-profile (`nodes`){pin}",
        )
    selector = read_selector(spec)
    if not task.nodes:
        labels = f"labels {write_labels(selector)}" if selector else "accelerators"
        return PlanRefused("NoNodesMatch", f"no node of the cluster has {labels}{_advise(task, selector)}{pin}")
    known = [(group, item) for group in task.nodes if (item := find_accelerator(group, task.catalogue))]
    if not known:
        return PlanRefused("UnknownHardware", _explain_unknown(task, selector))
    offered = {text for group, item in known for text in _describe_group(group, item, task.catalogue)}
    if not any(
        not wish.mismatch(item, shape) for group, item in known for shape, _ in list_shapes(group, item, task.catalogue)
    ):
        return PlanRefused(
            "NoNodesMatch",
            f"no node that is there is what {field} asks for; there are {'; '.join(sorted(offered)[:_MOST_TOLD])}",
        )
    return None


def _advise(task: Task, selector: Mapping[str, str]) -> str:
    """What label is lacked where the fewest are."""
    lacks = [find_missing(dict(group.labels), selector) for group in task.cluster.nodes or ()]
    fewest = min((missing for missing in lacks if missing), key=len, default=None)
    if fewest is None:
        return ""
    labels = " ".join(f"{key}={value}" for key, value in sorted(fewest.items()))
    return f"; label one that may be used: `kubectl label node NODE {labels}`"


def _explain_unknown(task: Task, selector: Mapping[str, str]) -> str:
    found = {find_hardware_label(dict(group.labels)) for group in task.nodes or ()}
    said = "; ".join(sorted(f"{pair[0]}={pair[1]}" for pair in found if pair)[:_MOST_TOLD]) or "no label of theirs"
    where = f"-l {','.join(f'{key}={value}' for key, value in sorted(selector.items()))}" if selector else "NODE"
    return (
        f"{said} tells no whole accelerator of the catalogue; say what the nodes have: `kubectl label node {where}"
        f" {ACCELERATOR_LABEL}=<id>`, with one of {', '.join(task.catalogue.accelerators)}"
    )


def _describe_group(group: NodeGroup, accelerator: Accelerator, catalogue: Catalogue) -> Iterator[str]:
    for shape, part in list_shapes(group, accelerator, catalogue):
        if part == 1:
            yield f"{shape.total_devices} × {accelerator.id} ({group.machine_type})"


def list_existing(task: Task, wish: Wish) -> Iterator[Candidate]:
    """Every kind of node that is there with each engine of its kind; and on GKE a machine type that the wish names and
    no node has, unchecked.
    """
    for group in task.nodes or ():
        accelerator = find_accelerator(group, task.catalogue)
        if accelerator is None:
            continue
        for runtime in runtimes_for(task, accelerator):
            for shape, part in list_shapes(group, accelerator, task.catalogue):
                made = divide_accelerator(accelerator, shape)
                yield Candidate(wish, made, shape, runtime, group=group, part=part)
    if _may_come(task, wish) and all(group.machine_type != wish.machine_type for group in task.nodes or ()):
        yield from (item for item in list_candidates(task, wish) if item.shape.machine_type == wish.machine_type)


def list_shapes(
    group: NodeGroup, accelerator: Accelerator, catalogue: Catalogue
) -> Iterator[tuple[MachineShape, Fraction]]:
    """What a replica may take of a node, and which part of it that is."""
    machine = catalogue.machine(group.machine_type)
    known = machine[1] if machine and machine[0].id == accelerator.id else None
    total = group.count(accelerator.resource)
    if accelerator.kind == "tpu":
        yield from ((_take(group, shape, total, total), Fraction(1)) for shape in _find_slices(group, accelerator))
        return
    for count in sorted({count for count in (1, 2, 4, 8, 16, total) if 0 < count <= total}):
        shape = MachineShape(
            machine_type=group.machine_type,
            devices=count,
            cpu=0,
            memory_gib=0,
            regions=(),
            consumption=(),
            prices=known.prices if known else {},
        )
        shared = known.share if known else Fraction(1)
        yield _take(group, shape, count, total, shared), Fraction(count, total)


def _find_slices(group: NodeGroup, accelerator: Accelerator) -> Iterator[MachineShape]:
    """The chips of a TPU node can't be divided among pods; of several machines a slice is refused later."""
    topology = group.label(TOPOLOGY_LABEL)
    alike = [
        shape
        for shape in accelerator.machines
        if (shape.machine_type, shape.topology) == (group.machine_type, topology)
    ]
    yield from alike[:1]


def _take(group: NodeGroup, shape: MachineShape, count: int, total: int, share: Fraction = Fraction(1)) -> MachineShape:
    """The shape with its part of what the node leaves to pods."""
    whole = max(1, total)
    return MachineShape(
        machine_type=shape.machine_type,
        devices=shape.devices,
        cpu=max(1, group.cpu * count // whole),
        memory_gib=group.memory_gib * count // whole,
        regions=shape.regions,
        consumption=shape.consumption,
        prices=shape.prices,
        topology=shape.topology,
        hosts=shape.hosts,
        share=share,
        is_node=True,
    )


def check_nodes(task: Task, candidate: Candidate) -> Misfit | None:
    """Whether a replica may run on such nodes. Of those that aren't there yet nothing is known."""
    wish, group = candidate.wish, candidate.group
    if group is None:
        return None
    if group.spot != (wish.consumption is Consumption.SPOT):
        is_, write = ("spot", "write consumption: Spot to use them") if group.spot else ("not", "leave consumption out")
        return Misfit("ConsumptionDiffers", f"the nodes are {is_}{'' if group.spot else ' spot'}; {write}")
    zone = group.label(ZONE_LABEL)
    if wish.zones and zone not in wish.zones:
        return Misfit(
            "NotInZone", f"the nodes are in {zone or 'no zone that they name'}; write that, or leave zones out"
        )
    architecture = group.label(ARCHITECTURE_LABEL)
    if architecture not in ("", "amd64"):
        return Misfit(
            "NeedsArm64Image",
            f"the nodes are {architecture}, and no image of {candidate.runtime.engine.engine.name} is known to run on"
            " that",
        )
    taint = find_untolerated(group.taints, task.tolerations, candidate.accelerator.resource)
    if taint:
        return Misfit(
            "TaintNotTolerated",
            f"the nodes have the taint {taint}; write it in spec.pod.tolerations if the model may run there",
        )
    return None


def label_nodes(task: Task, candidate: Candidate) -> dict[str, str]:
    """By which labels the pods of a replica find such nodes."""
    group, wish, accelerator = candidate.group, candidate.wish, candidate.accelerator
    pinned = {MACHINE_LABEL: wish.machine_type} if wish.machine_type else {}
    if group is None:
        on_gke = task.cluster.provider == _GKE
        hardware = _name_as_gke(accelerator, candidate.shape) if on_gke else {}
        return {**task.node_selector, **hardware, **pinned}
    found = find_hardware_label(dict(group.labels))
    hardware = dict([found]) if found else {}
    if TPU_LABEL in hardware:
        hardware = _name_as_gke(accelerator, candidate.shape)
    return {**task.node_selector, **hardware, **pinned}


def _name_as_gke(accelerator: Accelerator, shape: MachineShape) -> dict[str, str]:
    """A TPU's label and topology don't tell its machine."""
    if not shape.topology:
        return {GPU_LABEL: accelerator.label}
    return {TPU_LABEL: accelerator.label, TOPOLOGY_LABEL: shape.topology, MACHINE_LABEL: shape.machine_type}


def note_nodes(candidate: Candidate) -> Iterator[str]:
    """What should be known of a replica on nodes that the operator doesn't make."""
    if candidate.group is None:
        yield (
            f"no {candidate.shape.machine_type} is there yet, so nothing of it could be checked: a pool that has it"
            " must grow for the pods"
        )
    else:
        label = find_hardware_label(dict(candidate.group.labels))
        unsure = label is not None and label[0] == PRODUCT_LABEL
        yield (
            "the nodes are there already and stay: the operator makes, changes and deletes none, and doesn't know what"
            f" other pods take of them{'; which accelerator they have is told by NVIDIA' if unsure else ''}"
        )
