"""Plans remembered by what they were made from: a fleet has few different specs, and each is planned once."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Protocol

from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.types import Catalogue
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.terms import NO_TERMS, Terms
from mistral_operator.planning.types import ClusterProfile, Plan, PlanRefused, Settings


class Planner(Protocol):
    """What `plan_model` is."""

    def __call__(
        self,
        model: MistralModel,
        catalogue: Catalogue,
        cluster: ClusterProfile,
        settings: Settings,
        rung: str = "",
        terms: Terms = NO_TERMS,
    ) -> Plan | PlanRefused:
        """The plan for the best option, or for that rung, within the terms of the model's serving class."""
        ...


_REMEMBERED: Final = 256


@dataclass(frozen=True, slots=True)
class _Premises:
    """What all models have in common."""

    catalogue: Catalogue
    cluster: ClusterProfile
    settings: Settings


class PlanMemory:
    """Answers like `plan_model`. Everything is forgotten when catalogue, cluster or settings change."""

    def __init__(self, planner: Planner = plan_model) -> None:
        self._planner = planner
        self._premises: _Premises | None = None
        self._answers: OrderedDict[tuple[str, str, Terms], Plan | PlanRefused] = OrderedDict()

    def plan(
        self,
        model: MistralModel,
        catalogue: Catalogue,
        cluster: ClusterProfile,
        settings: Settings,
        rung: str = "",
        terms: Terms = NO_TERMS,
    ) -> Plan | PlanRefused:
        """The plan, the same object for the same spec and terms. Planning reads nothing else of a model."""
        premises = _Premises(catalogue, cluster, settings)
        if premises != self._premises:
            self._premises = premises
            self._answers.clear()
        asked = (model.spec.model_dump_json(), rung, terms)
        answer = self._answers.get(asked)
        if answer is None:
            answer = self._answers[asked] = self._planner(model, catalogue, cluster, settings, rung, terms)
            if len(self._answers) > _REMEMBERED:
                self._answers.popitem(last=False)
        self._answers.move_to_end(asked)
        return answer
