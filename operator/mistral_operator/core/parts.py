"""How the replicas of a model are divided among its options, where some say how many they take at most. Pure.

Each part has the ladder from its option on, and a workload, revisions and rungs of its own. The first fills up first.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from mistral_operator.api.capacity import Capacity, CapacityOption
from mistral_operator.api.common import dollars
from mistral_operator.api.model import MistralModel
from mistral_operator.api.names import CONVERTER_ROLE, PART_LABEL, REVISION_LABEL, ROLE_LABEL
from mistral_operator.api.part import ModelPart
from mistral_operator.core.revisions import read_history
from mistral_operator.core.types import Outcome
from mistral_operator.manifests.identity import is_owned_by, part_number
from mistral_operator.manifests.slices import KIND as GROUPS
from mistral_operator.manifests.workload import DEPLOYMENT

_Object = Mapping[str, Any]
_WORKLOADS: Final = (DEPLOYMENT, GROUPS)
_NOTHING: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Stock:
    """What there is of one part."""

    asked: int = 0
    """Replicas that its workload is asked for."""
    placed: int = 0
    """Its pods that have nodes."""
    ready: int = 0
    pods: int = 0
    """All of them, those on their way out too."""
    price: Decimal = _NOTHING
    """US dollars an hour of one of its replicas, the dearest; 0 where nothing is known."""
    surges: bool = False
    """Whether it was just decided that it may have a replica more than its share for a while."""

    @property
    def standing(self) -> int:
        """Replicas that have to be paid for."""
        return max(self.asked, self.placed)


@dataclass(frozen=True, slots=True)
class Share:
    """How many of a model's replicas a part is to have."""

    part: int
    replicas: int


def list_floors(options: Sequence[CapacityOption]) -> tuple[int | None, ...]:
    """The most that each part takes, None for the one that takes all the rest, which is the last; empty where the
    model is not spread.
    """
    floors = []
    for option in options:
        floors.append(option.replicas)
        if option.replicas is None:
            break
    return tuple(floors) if len(floors) > 1 and not find_conflict(options) else ()


def find_conflict(options: Sequence[CapacityOption]) -> str:
    """What is wrong with what the options say of replicas: the field, and what to write; empty where nothing is."""
    said = [index for index, option in enumerate(options) if option.replicas is not None]
    open_ended = next((index for index, option in enumerate(options) if option.replicas is None), None)
    if said and open_ended is None:
        last = f"options[{said[-1]}].replicas"
        return f"{last}: each option says what it takes at most, and none takes the rest; leave it out"
    if said and open_ended is not None and said[-1] > open_ended:
        return f"options[{said[-1]}].replicas: options[{open_ended}] takes all the rest before it; leave it out"
    return ""


def divide(replicas: int, floors: Sequence[int | None]) -> tuple[int, ...]:
    """So many replicas for each part, in order: each gets what is left, or its most."""
    shares, left = [], replicas
    for most in floors:
        shares.append(left if most is None else min(left, most))
        left -= shares[-1]
    return tuple(shares)


def find_shares(model: MistralModel, stock: Mapping[int, Stock]) -> tuple[Share, ...]:
    """The parts that the model has, or still has. One that never gets a replica, by the spec and the autoscaler's
    bounds, isn't made; the first always is.
    """
    capacity, scaling = model.spec.capacity or Capacity(), model.spec.scaling
    if find_conflict(capacity.options):
        return _freeze(model, stock)
    floors = list_floors(capacity.options) or (None,)
    peak = max(model.spec.replicas, (scaling.max_replicas or 0) if scaling else 0)
    now, most = divide(model.spec.replicas, floors), divide(peak, floors)
    wanted = {index + 1: now[index] for index in range(len(floors)) if index == 0 or most[index]}
    kept = (part for part, there in stock.items() if there.asked or there.pods)
    return tuple(Share(part, wanted.get(part, -1)) for part in sorted({*wanted, *kept}))


def _freeze(model: MistralModel, stock: Mapping[int, Stock]) -> tuple[Share, ...]:
    """What there is stays as it is while the spec is refused."""
    there = {part: each.asked for part, each in stock.items() if each.asked or each.pods}
    return tuple(Share(part, there[part]) for part in sorted(there)) or (Share(1, model.spec.replicas),)


def take_stock(model: MistralModel, children: Iterable[_Object], pods: Iterable[_Object]) -> dict[int, Stock]:
    """What there is of each part of which there is anything."""
    by_part: dict[int, list[_Object]] = {}
    for child in children:
        if is_owned_by(child, model.metadata.uid):
            by_part.setdefault(read_part(child), []).append(child)
    pods_of: dict[int, list[_Object]] = {}
    for pod in pods:
        if (pod["metadata"].get("labels") or {}).get(ROLE_LABEL) == CONVERTER_ROLE:
            continue
        pods_of.setdefault(read_part(pod), []).append(pod)
    return {part: _count(by_part.get(part, ()), pods_of.get(part, ())) for part in sorted({*by_part, *pods_of})}


def read_part(item: _Object) -> int:
    """The part that an object or a pod is of; 1 where it says nothing, or what the operator never wrote."""
    text = (item["metadata"].get("labels") or {}).get(PART_LABEL, "")
    return int(text) if text.isdecimal() and len(text) == 1 and text > "1" else 1


def _count(children: Sequence[_Object], pods: Sequence[_Object]) -> Stock:
    history = read_history(children)
    prices = [each.plan.chosen.hourly_cost or _NOTHING for each in history.revisions]
    known = Counter[str]()
    for pod in pods:
        status, metadata = pod.get("status") or {}, pod["metadata"]
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ())
        leaves = "deletionTimestamp" in metadata
        known += Counter(pods=1, placed=bool((pod.get("spec") or {}).get("nodeName")), ready=ready and not leaves)
    asked = (int((c.get("spec") or {}).get("replicas") or 0) for c in children if c["kind"] in _WORKLOADS)
    return Stock(sum(asked), known["placed"], known["ready"], known["pods"], max(prices, default=_NOTHING))


def note_decision(stock: Stock, part: MistralModel, outcome: Outcome, pods: Iterable[_Object]) -> Stock:
    """With the price of the plan that was decided on, if that is the dearest, and whether a replica more is to come:
    as a successor, or during a roll-out, as long as a pod of another revision is there.
    """
    price = ((outcome.status.get("plan") or {}).get("chosen") or {}).get("hourlyCost", "unknown")
    dearest = stock.price if price == "unknown" else max(stock.price, Decimal(price))
    there = {str((pod["metadata"].get("labels") or {}).get(REVISION_LABEL, "")) for pod in pods if _is_of(part, pod)}
    deployments = [each["spec"] for each in outcome.manifests if each["kind"] == DEPLOYMENT]
    surges = any(each["replicas"] > part.spec.replicas or _rolls_with_more(each, there) for each in deployments)
    return replace(stock, price=dearest, surges=surges)


def _is_of(part: MistralModel, pod: _Object) -> bool:
    """Whether it is a replica of that part, a conversion being none."""
    labels = pod["metadata"].get("labels") or {}
    return labels.get(ROLE_LABEL) != CONVERTER_ROLE and read_part(pod) == part_number(part)


def _rolls_with_more(deployment: _Object, there: set[str]) -> bool:
    revision = deployment["template"]["metadata"]["labels"].get(REVISION_LABEL, "")
    more = ((deployment.get("strategy") or {}).get("rollingUpdate") or {}).get("maxSurge", 0)
    return bool(more) and bool(there - {"", revision})


def view_part(
    model: MistralModel,
    limits: Capacity,
    share: Share,
    shares: Sequence[Share],
    stock: Mapping[int, Stock],
    status: dict[str, Any],
) -> ModelPart:
    """The model as this part sees it: its options, its replicas, and what the others leave it to spend.

    `limits` has the spend limits that hold, be they the model's own or those of its class.
    """
    spec, capacity = model.spec, model.spec.capacity or Capacity()
    options = tuple(option.model_copy(update={"replicas": None}) for option in capacity.options)
    own = options[share.part - 1 :] if share.replicas >= 0 else options
    own = capacity.options if find_conflict(capacity.options) else own
    ledger = _balance(limits, shares, stock)
    changed = {"replicas": ledger.replicas[share.part], "capacity": capacity.model_copy(update={"options": own})}
    return ModelPart.model_construct(
        api_version=model.api_version,
        kind=model.kind,
        metadata=model.metadata,
        spec=spec.model_copy(update=changed if spec.capacity else {"replicas": changed["replicas"]}),
        status=status,
        part=share.part,
        leaving=share.replicas < 0,
        others_cost=ledger.others_cost[share.part],
        surge_taken=ledger.surge_taken[share.part],
    )


@dataclass(frozen=True, slots=True)
class _Ledger:
    replicas: Mapping[int, int]
    others_cost: Mapping[int, Decimal]
    surge_taken: Mapping[int, Decimal]


def _balance(capacity: Capacity, shares: Sequence[Share], stock: Mapping[int, Stock]) -> _Ledger:
    """A part that is to have fewer replicas keeps those that it has until others answer in their place, as far as the
    spend limits pay for both. The first parts are paid first; what stands is paid for until it has gone.
    """
    limit = None if capacity.max_hourly_cost is None else dollars(capacity.max_hourly_cost)
    surge = dollars(capacity.max_surge_hourly_cost or "0")
    have = {share.part: stock.get(share.part, Stock()) for share in shares}
    target: dict[int, int] = {}
    left = limit
    for share in shares:
        price, wanted = have[share.part].price, max(0, share.replicas)
        target[share.part] = wanted if left is None or not price else min(wanted, int(left / price))
        left = None if left is None else left - target[share.part] * price
    spare = None if left is None else left + surge
    kept, missing = dict(target), sum(max(0, target[part] - have[part].ready) for part in have)
    for part in reversed(list(have)):
        above = max(0, min(have[part].asked - target[part], missing))
        paid = above if spare is None or not have[part].price else min(above, int(spare / have[part].price))
        spare = None if spare is None else spare - paid * have[part].price
        kept[part], missing = target[part] + paid, missing - paid
    extra = {part: (kept[part] - target[part]) * have[part].price for part in have}
    return _Ledger(
        {share.part: max(0, share.replicas) + kept[share.part] - target[share.part] for share in shares},
        {part: _cost_of_others(part, target, have, limit, surge) - min(surge, extra[part]) for part in have},
        {part: sum(extra.values(), _NOTHING) + _cost_of_surges(part, kept, have) for part in have},
    )


def _cost_of_surges(part: int, kept: Mapping[int, int], have: Mapping[int, Stock]) -> Decimal:
    """Of the replica more that each other part has now, or has just been given."""
    others = (other for other in have if other != part)
    return sum((have[o].price for o in others if have[o].surges or have[o].standing > kept[o]), _NOTHING)


def _cost_of_others(
    part: int, target: Mapping[int, int], have: Mapping[int, Stock], limit: Decimal | None, surge: Decimal
) -> Decimal:
    """What stands above its target may be paid for by what replicas may cost on top while they move. Nothing that
    stands and is wanted goes for what is about to go.
    """
    others = [other for other in have if other != part]
    wanted = sum((target[o] if o < part else min(target[o], have[o].standing)) * have[o].price for o in others)
    above = sum(max(0, have[o].standing - target[o]) * have[o].price for o in others)
    cost = Decimal(wanted) + max(_NOTHING, Decimal(above) - surge)
    own = min(target[part], have[part].standing) * have[part].price
    return cost if limit is None else min(cost, max(Decimal(wanted), limit - own))
