"""The catalogue as a whole: models, accelerators with their machine shapes, engines and the support rules. Frozen.

Every fact is data in `data/`, with its source; `unverified` names the fields that no source confirms.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from mistral_operator.catalogue.accelerator import Accelerator, MachineShape
from mistral_operator.catalogue.engine import Engine
from mistral_operator.catalogue.evidence import Evidence
from mistral_operator.catalogue.model import Model, UnservedModel

ANY = "any"


@dataclass(frozen=True, slots=True)
class SupportRule:
    """Models, engines and accelerators about which the same is known."""

    tier: str
    models: tuple[str, ...]
    """Ids, or `any`; as the three below."""
    engines: tuple[str, ...]
    accelerators: tuple[str, ...]
    precisions: tuple[str, ...]
    enough_memory: bool
    """True when the rule holds only with the memory that the model's documentation asks for."""
    latent: bool | None
    """Only for models with latent attention, or only for those without; None for both."""
    evidence: str
    source: str
    date: str
    """Of the source, or of the day when it was read; ISO 8601, or `unknown`."""


@dataclass(frozen=True, slots=True)
class Support:
    """The support matrix: the first rule that matches decides."""

    rules: tuple[SupportRule, ...]
    default_tier: str
    default_evidence: str


@dataclass(frozen=True)
class Catalogue:
    """All that the planner knows, in the order of ids."""

    models: Mapping[str, Model]
    accelerators: Mapping[str, Accelerator]
    engines: Mapping[str, Engine]
    support: Support
    unserved: Mapping[str, UnservedModel] = field(default_factory=dict)
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    """Records of runs on hardware, by the name of their file."""
    fault: str = ""
    """Why an extension of it could not be read, for those who miss what is in it."""

    @cached_property
    def model_names(self) -> Mapping[str, tuple[str, str]]:
        """Every name of a model in lower case → model id and variant, which is empty where the name leaves it open."""
        names = {name.lower(): (model.id, "") for model in self.models.values() for name in (model.id, *model.aliases)}
        checkpoints = ((model, checkpoint) for model in self.models.values() for checkpoint in model.checkpoints)
        return {**names, **{item.repository.lower(): (model.id, item.variant) for model, item in checkpoints}}

    @cached_property
    def unserved_names(self) -> Mapping[str, UnservedModel]:
        """Every name of a model that nothing here serves, in lower case."""
        entries = self.unserved.values()
        return {name.lower(): entry for entry in entries for name in (entry.id, *entry.aliases, *entry.repositories)}

    @property
    def fault_text(self) -> str:
        """What to add where something is not in the catalogue: it may be in an extension that could not be read."""
        return f". The operator's extension of the catalogue is not valid: {self.fault}" if self.fault else ""

    def accelerator_id(self, name: str) -> str | None:
        """Find an accelerator by its id or by GKE's name for it, such as `nvidia-l4`; None where there is none."""
        if name in self.accelerators:
            return name
        # Two accelerators may have one label; the plain one has the shorter id.
        return min((item.id for item in self.accelerators.values() if item.label == name), default=None)

    def machine(self, machine_type: str) -> tuple[Accelerator, MachineShape] | None:
        """Return the shape of one machine of this type and its accelerator, or None."""
        for accelerator in self.accelerators.values():
            for shape in accelerator.machines:
                if shape.machine_type == machine_type:
                    return accelerator, shape
        return None
