"""How many replicas a model's spend limits pay for on each of its claims: said on its revisions, where those read it
who bound the claims' pools. Pure.

The claims' side plans nothing and knows no prices. Without this it could only go by what a spec asks for.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from mistral_operator.api.model import MistralModel
from mistral_operator.api.part import ModelPart
from mistral_operator.core.spend import Standing, count_affordable_beside, find_standing
from mistral_operator.manifests.identity import Manifest
from mistral_operator.manifests.revision import Revision
from mistral_operator.manifests.workload import DEPLOYMENT
from mistral_operator.status.situation import Situation


def note_most_replicas(
    model: MistralModel,
    revisions: Sequence[Revision],
    served: Revision,
    situation: Situation,
    workload: Manifest | None,
) -> tuple[Revision, ...]:
    """The revisions, with what each may have at most where a limit says so.

    `model` is as its limits bound it, `served` the revision that `workload` is for. Another one with a claim of its own
    may keep what it has there. Nothing is said of claims whose pools have no bounds.
    """
    others = find_standing((each for each in revisions if each.hash != served.hash), situation.pods)
    paid = _count_paid(model, served, others, situation)
    if paid is None:
        return tuple(revisions)
    told = _count_told(model, served, others, situation, workload)
    most, pods = max(paid, told), Counter(pod.revision for pod in situation.pods)
    there = {each.hash: most if each.claim_name == served.claim_name else pods[each.hash] for each in revisions}
    return tuple(replace(each, most_replicas=there[each.hash]) if each.has_bounds else each for each in revisions)


def _count_paid(model: MistralModel, served: Revision, others: Sequence[Standing], situation: Situation) -> int | None:
    """As many as the limits pay for, whatever the spec asks for; None without a limit.

    What a part of a spread model doesn't ask for is the other parts'. A class that isn't for the model, or that doesn't
    know the price, lets it have what it has and no more.
    """
    affordable = count_affordable_beside(model, served, others)
    is_held_back = model.spec.replicas < situation.model.spec.replicas
    if affordable is None:
        return model.spec.replicas if is_held_back else None
    return min(affordable, model.spec.replicas) if is_held_back or isinstance(model, ModelPart) else affordable


def _count_told(
    model: MistralModel,
    served: Revision,
    others: Sequence[Standing],
    situation: Situation,
    workload: Manifest | None,
) -> int:
    """What a Deployment is told to have, with the replica more of a roll-out. What comes on one claim while others go
    on another is never more than the replicas. Parts of a spread model, and models that wait for a budget, take what is
    paid for in turn with others, so the one more is theirs only while they roll.
    """
    if workload is None or workload["kind"] != DEPLOYMENT:
        return 0
    spec, going = workload["spec"], [each.revision.claim_name for each in others if each.replicas]
    surge = int(spec["strategy"].get("rollingUpdate", {}).get("maxSurge", 0)) if spec["replicas"] else 0
    rolls_here = served.claim_name in going if going else not (situation.stays or isinstance(model, ModelPart))
    return int(spec["replicas"]) + (surge if rolls_here else 0)
