"""How one replica's model is split over its devices: the ways that an engine has, and what can't be divided.

A device is one as the engine counts them: each core of a TPU v7x is one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mistral_operator.catalogue.accelerator import Accelerator, MachineShape
from mistral_operator.catalogue.architecture import Architecture, Experts, StateSpace
from mistral_operator.catalogue.engine import Engine


@dataclass(frozen=True, slots=True)
class Layout:
    """One split. Tensor, pipeline and data parallel multiply to the devices of the replica."""

    tensor_parallel: int = 1
    """Devices that share each layer."""
    pipeline_parallel: int = 1
    """Groups of layers on devices of their own."""
    data_parallel: int = 1
    """Copies of the model, each with its own requests; with expert parallelism they share the experts."""
    expert_parallel: bool = False
    """Whether a device holds some experts whole, instead of a part of each."""

    @property
    def devices(self) -> int:
        """Devices of all copies."""
        return self.tensor_parallel * self.pipeline_parallel * self.data_parallel

    @property
    def coupled_devices(self) -> int:
        """Devices that hold one set of weights between them: those of one copy, or of all that share the experts."""
        return self.devices if self.expert_parallel else self.tensor_parallel * self.pipeline_parallel

    @property
    def expert_devices(self) -> int:
        """Devices over which the experts of one layer are spread."""
        return self.tensor_parallel * (self.data_parallel if self.expert_parallel else 1)

    def stage_layers(self, layers: int) -> int:
        """Layers of the largest pipeline stage."""
        return -(-layers // self.pipeline_parallel)


WHOLE = Layout()
"""Everything on one device."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why a model does not run on some hardware, with the arithmetic."""

    reason: str
    message: str


def list_layouts(
    architecture: Architecture, engine: Engine, accelerator: Accelerator, shape: MachineShape
) -> Iterator[Layout]:
    """Every split that the engine has for one replica on `shape`, the most divided first; at least one.

    Over hosts there is a pipeline stage a host, the only split over hosts that upstream's matrix has tested. Experts
    are spread whole where copies share them, or where the engine knows no other way on its devices.
    """
    devices = shape.devices * accelerator.cores
    if shape.hosts > 1:
        yield Layout(devices, shape.hosts, expert_parallel=_spreads_experts(architecture, engine))
        return
    for tensor in reversed(_divisors(devices, split="tensor" in engine.parallelism)):
        for pipeline in _divisors(devices // tensor, split="pipeline" in engine.parallelism):
            copies = devices // tensor // pipeline
            if copies == 1:
                yield Layout(tensor, pipeline, expert_parallel=_spreads_experts(architecture, engine))
            elif pipeline == 1 and _may_copy(architecture, engine):
                yield Layout(tensor, 1, copies, expert_parallel=architecture.experts is not None)


def _may_copy(architecture: Architecture, engine: Engine) -> bool:
    """Copies of a model with experts share them, and send every token to where its experts are.

    That is worth it where tensor parallelism would keep the same KV cache on every device: with latent attention.
    """
    return "data" in engine.parallelism and (architecture.experts is None or architecture.latent is not None)


def _spreads_experts(architecture: Architecture, engine: Engine) -> bool:
    """On TPUs, upstream tests latent attention with whole experts only; elsewhere a part of each is the default."""
    return architecture.latent is not None and engine.kind == "tpu" and "expert" in engine.parallelism


def _divisors(devices: int, *, split: bool) -> tuple[int, ...]:
    return tuple(part for part in range(1, devices + 1) if devices % part == 0) if split else (1,)


def check_layout(architecture: Architecture, layout: Layout, group: int | None = None) -> Misfit | None:
    """Check that all that is divided by a layout can be: heads, layers, experts, widths and blocks of one scale.

    The vocabulary always can: engines pad it. `group` is the side of a block of weights that shares a scale.
    """
    stages = layout.pipeline_parallel
    if stages > architecture.layers:
        return Misfit(
            "TooFewLayers", f"{architecture.layers} layers can't be split into {stages} pipeline stages, one a host"
        )
    if architecture.state_space:
        return _check_state_space(architecture.state_space, layout.tensor_parallel)
    return _check_heads(architecture, layout.tensor_parallel) or _check_widths(architecture, layout, group)


def _check_state_space(state_space: StateSpace, tensor_parallel: int) -> Misfit | None:
    if state_space.heads % tensor_parallel == 0 and _divides_or_copies(state_space.groups, tensor_parallel):
        return None
    return Misfit(
        "HeadsNotDivisible",
        f"{state_space.heads} Mamba heads in {state_space.groups} groups can't be split evenly over"
        f" {tensor_parallel} devices",
    )


def _check_heads(architecture: Architecture, tensor_parallel: int) -> Misfit | None:
    if architecture.heads % tensor_parallel:
        return Misfit(
            "HeadsNotDivisible",
            f"{architecture.heads} attention heads can't be split evenly over {tensor_parallel} devices",
        )
    if not architecture.latent and not _divides_or_copies(architecture.kv_heads, tensor_parallel):
        return Misfit(
            "HeadsNotDivisible",
            f"{architecture.kv_heads} key-value heads can't be split or copied evenly over {tensor_parallel} devices",
        )
    return None


def _check_widths(architecture: Architecture, layout: Layout, group: int | None) -> Misfit | None:
    """Check the feed-forward's width, or the experts; what is left of a width must be whole blocks."""
    experts = architecture.experts
    if experts and layout.expert_parallel:
        return _check_expert_count(experts, layout.expert_devices)
    width = experts.intermediate if experts else architecture.intermediate
    if width % layout.tensor_parallel:
        return Misfit(
            "HeadsNotDivisible",
            f"a feed-forward width of {width} can't be split evenly over {layout.tensor_parallel} devices",
        )
    part = width // layout.tensor_parallel
    if group and part % group:
        return Misfit(
            "GroupNotDivisible",
            f"a feed-forward width of {width} over {layout.tensor_parallel} devices leaves {part} on each, and its"
            f" 8-bit weights share scales in blocks of {group}, which can't be cut",
        )
    return None


def _check_expert_count(experts: Experts, devices: int) -> Misfit | None:
    if experts.count % devices == 0:
        return None
    return Misfit("ExpertsNotDivisible", f"{experts.count} experts can't be spread evenly over {devices} devices")


def _divides_or_copies(parts: int, devices: int) -> bool:
    return parts % devices == 0 or devices % parts == 0
