"""All answers to one spec, not only the best: every machine, bought in every way, with its option or refusal."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from mistral_operator.api.model import MistralModelSpec
from mistral_operator.catalogue.types import Catalogue
from mistral_operator.planning.candidate import Candidate, list_candidates
from mistral_operator.planning.modes import UNNAMED
from mistral_operator.planning.plan import prepare
from mistral_operator.planning.terms import NO_TERMS, Terms
from mistral_operator.planning.types import ClusterProfile, Consumption, PlannedOption, PlanRefused, Refusal, Settings
from mistral_operator.planning.weigh import weigh
from mistral_operator.planning.wishes import Wish


@dataclass(frozen=True, slots=True)
class Weighed:
    """One machine, bought in one way, and what the planner says of it."""

    candidate: Candidate
    answer: PlannedOption | Refusal


def survey(
    spec: MistralModelSpec,
    catalogue: Catalogue,
    cluster: ClusterProfile,
    settings: Settings,
    terms: Terms = NO_TERMS,
) -> Iterator[Weighed] | PlanRefused:
    """Weigh every machine for a spec, whatever hardware it asks for, in the ways in which the machine is sold."""
    prepared = prepare(spec, catalogue, cluster, settings, terms)
    if isinstance(prepared, PlanRefused):
        return prepared
    task, _ = prepared
    candidates = (item for mode in UNNAMED for item in list_candidates(task, Wish(consumption=mode)))
    asked = (_ask_by_name(item) for item in candidates if _is_sold(item))
    return (Weighed(item, weigh(task, item)) for item in asked)


def _ask_by_name(candidate: Candidate) -> Candidate:
    """As if somebody had asked for this very machine: also with layouts that are not chosen unasked."""
    shape = candidate.shape
    wish = replace(candidate.wish, machine_type=shape.machine_type, topology=shape.topology or None)
    return replace(candidate, wish=wish)


def _is_sold(candidate: Candidate) -> bool:
    """Once for each way to buy a machine; one that is only to be had by a reservation's name is weighed once."""
    sold = [mode for mode in UNNAMED if mode.value in candidate.shape.consumption]
    return candidate.wish.consumption in (sold or [Consumption.ON_DEMAND])
