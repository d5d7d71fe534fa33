"""What happens to one model, and to everybody's cloud and API server: drawn by a seed, the same each time."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

Spec = dict[str, Any]
WINDOW_S: Final = 12.0
"""For so long things happen; after that all faults are healed, and everything must come right."""
GPU_LADDER: Final = ("g2-standard-8", "a2-highgpu-1g")
CHEAP: Final[Spec] = {"machineType": GPU_LADDER[0]}
LIMITED: Final = 0.4
"""So many of the models have a spend limit."""
CLASS: Final = "chaos"
"""A serving class, whose models share a budget."""
CLASS_LIMIT: Final = "6.00"
"""US dollars an hour: pays for one machine of any rung, and not for all that its models ask for."""
SHARING: Final = 0.4
"""So many of the models without a spend limit of their own share the budget of the class."""
SPREAD: Final = 0.7
"""So many of the others that have several options are spread over them."""
TPU: Final = {"machineType": "ct5lp-hightpu-4t"}
SLICED: Final = 0.15
"""So many of the models are too large for one machine, and start on multi-host slices."""
SLICE: Final = {"machineType": "ct6e-standard-4t", "topology": "4x4"}
ONE_HOST: Final = {"machineType": "ct6e-standard-8t", "topology": "2x4"}
"""Where such a model fits, too."""
MACHINES: Final = (*GPU_LADDER, "g2-standard-24", "ct5lp-hightpu-4t", "ct6e-standard-4t", "ct6e-standard-8t")
WORKLOAD: Final = "workload"
"""Whichever the replicas are in, a Deployment or a LeaderWorkerSet."""
WRITES: Final = "PATCH|POST|PUT|DELETE"


class Deed(StrEnum):
    """What somebody does to a model, or what befalls its machines."""

    CHANGE = "change"
    SCALE = "scale"
    DELETE = "delete"
    CREATE = "create"
    LOSE_NODE = "lose a node"
    REMOVE_OBJECT = "remove an object"


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happens at a time, in seconds from the beginning."""

    at_s: float
    deed: Deed
    what: str = ""
    """The way in which a node is lost, or the kind of the object."""
    spec: Spec = field(default_factory=dict)
    replicas: int = 0


@dataclass(frozen=True, slots=True)
class Story:
    """One model's life in a namespace of its own."""

    number: int
    spec: Spec
    steps: tuple[Step, ...]
    final_spec: Spec
    final_replicas: int
    lives: bool
    """It is still there at the end."""
    interrupted: bool
    """Something in it may take every replica away for a while, so that nobody can expect it to serve throughout."""

    @property
    def shares_budget(self) -> bool:
        """Whether it is paid for out of the budget of the class."""
        return self.spec.get("servingClassName") == CLASS

    @property
    def wants_machines(self) -> bool:
        """Whether it is to have replicas in the end; before that it may never have come to any."""
        return self.lives and self.final_replicas > 0 and not self.final_spec.get("suspend")

    @property
    def limit(self) -> str | None:
        """Its spend limits together, in US dollars an hour; None where there is none."""
        capacity = self.spec["capacity"]
        if "maxHourlyCost" not in capacity:
            return None
        return str(float(capacity["maxHourlyCost"]) + float(capacity.get("maxSurgeHourlyCost", 0)))

    def tell(self) -> str:
        """The whole story in one line, for whoever has to find out what went wrong."""
        steps = "; ".join(f"{s.at_s:.1f} s {s.deed.value} {s.what or s.spec or s.replicas}" for s in self.steps)
        return f"story {self.number}: {self.spec}; {steps}"


@dataclass(frozen=True, slots=True)
class Weather:
    """A fault of the cloud or of the API server, or the operator's death, that strikes everybody."""

    at_s: float
    kind: str
    """`kill`, `api`, or a path of the simulated GKE's control API."""
    change: Mapping[str, Any]


def draw_story(seed: int, number: int) -> Story:
    """The story with that number."""
    rng = random.Random(f"{seed}/story/{number}")
    capacity = _draw_capacity(rng)
    spec: Spec = {"model": "mistral-7b-v0.3", "allowExperimental": True, "capacity": capacity}
    company, size = random.Random(f"{seed}/company/{number}"), random.Random(f"{seed}/size/{number}")
    if size.random() < SLICED:
        options = size.choice(([SLICE], [SLICE, ONE_HOST], [ONE_HOST, SLICE]))
        capacity = {"options": options}
        spec |= {"model": "mixtral-8x7b", "capacity": capacity}
    elif "maxHourlyCost" not in capacity:
        spec |= _draw_company(company, capacity)
    if rng.random() < 0.15:
        spec["rollout"] = {"strategy": "Recreate"}
    replicas = rng.choice((1, 1, 2, 3))
    teller = _Teller(rng, spec, replicas)
    steps = tuple(teller.step(at_s) for at_s in sorted(rng.uniform(0.5, WINDOW_S) for _ in range(rng.randint(1, 4))))
    known = {**capacity, **spec}
    return Story(
        number=number,
        spec=spec,
        steps=(Step(0.0, Deed.SCALE, replicas=replicas), *steps),
        final_spec=teller.spec,
        final_replicas=teller.replicas,
        lives=teller.lives,
        interrupted=teller.interrupted or SLICE in capacity["options"] or any(key in known for key in _INTERRUPTING),
    )


_INTERRUPTING: Final = ("maxHourlyCost", "rollout", "servingClassName")
"""What lets a model be without a replica for a while: it has to be paid for, or isn't to have two at once."""


def _draw_company(rng: random.Random, capacity: Spec) -> Spec:
    """Whether the model shares a budget with others, in some order, or is spread over its options."""
    if rng.random() < SHARING:
        return {"servingClassName": CLASS, "capacity": {**capacity, "priority": rng.choice((0, 0, 10))}}
    if len(capacity["options"]) > 1 and rng.random() < SPREAD:
        return {"capacity": {**capacity, "options": _spread(capacity["options"])}}
    return {}


def _spread(options: list[Spec]) -> list[Spec]:
    """The first option takes one replica, and the ladder from the second on the rest."""
    first, *others = ({key: value for key, value in each.items() if key != "replicas"} for each in options)
    return [{**first, "replicas": 1}, *others]


def _draw_capacity(rng: random.Random) -> Spec:
    rungs: list[Spec] = [CHEAP, {"machineType": GPU_LADDER[1]}, {"machineType": GPU_LADDER[0], "consumption": "Spot"}]
    rungs += [TPU] if rng.random() < 0.3 else []
    options = rng.sample(rungs, rng.randint(1, len(rungs)))
    if rng.random() >= LIMITED:
        return {"options": options}
    surge = {"maxSurgeHourlyCost": rng.choice(("1.00", "4.00"))} if rng.random() < 0.5 else {}
    payable = [] if CHEAP in options else [CHEAP]  # Else there would be nothing to plan.
    return {"options": [*options, *payable], "maxHourlyCost": rng.choice(("1.00", "2.00", "4.00")), **surge}


class _Teller:
    """Draws the steps, and keeps what the model is after each."""

    def __init__(self, rng: random.Random, spec: Spec, replicas: int) -> None:
        self._rng = rng
        self.spec = spec
        self.replicas = replicas
        self.lives = True
        self.interrupted = False

    def step(self, at_s: float) -> Step:
        if not self.lives:
            self.lives = True
            return Step(at_s, Deed.CREATE, spec=self.spec, replicas=self.replicas)
        deeds = (Deed.CHANGE, Deed.CHANGE, Deed.SCALE, Deed.DELETE, Deed.LOSE_NODE, Deed.REMOVE_OBJECT)
        match self._rng.choice(deeds):
            case Deed.CHANGE:
                self.spec = {**self.spec, **self._draw_change()}
                return Step(at_s, Deed.CHANGE, spec=self.spec)
            case Deed.SCALE:
                self.replicas = self._rng.randint(0, 3)
                self.interrupted |= self.replicas == 0
                return Step(at_s, Deed.SCALE, replicas=self.replicas)
            case Deed.DELETE:
                self.lives, self.interrupted = False, True
                return Step(at_s, Deed.DELETE)
            case Deed.LOSE_NODE:
                self.interrupted = True
                return Step(at_s, Deed.LOSE_NODE, self._rng.choice(("reclaim", "delete-node", "host-error")))
            case _:
                kind = self._rng.choice((WORKLOAD, "Service", "Pod", "NodePoolClaim", "ControllerRevision"))
                self.interrupted |= kind in (WORKLOAD, "Pod", "ControllerRevision")
                return Step(at_s, Deed.REMOVE_OBJECT, kind)

    def _draw_change(self) -> Spec:
        if self._rng.random() < 0.2:
            self.interrupted = True
            return {"suspend": not self.spec.get("suspend", False)}
        if self._rng.random() < 0.4:
            options = self.spec["capacity"]["options"]
            mixed = self._rng.sample(options, len(options))
            spread = any("replicas" in each for each in options)
            return {"capacity": {**self.spec["capacity"], "options": _spread(mixed) if spread else mixed}}
        return {"engine": {"contextLength": self._rng.choice((2048, 4096, 8192))}}


def draw_weather(seed: int, batch: int) -> tuple[Weather, ...]:
    """What strikes everybody in that batch, in the order of its times."""
    rng = random.Random(f"{seed}/weather/{batch}")
    drawn = [_draw_fault(rng, rng.uniform(0.0, WINDOW_S)) for _ in range(rng.randint(3, 7))]
    return tuple(sorted(drawn, key=lambda weather: weather.at_s))


def _draw_fault(rng: random.Random, at_s: float) -> Weather:
    match rng.choice(("stock", "stock", "stock", "quota", "faults", "faults", "kill", "kill", "api")):
        case "stock":
            return Weather(at_s, "stock", {"machine_type": rng.choice(MACHINES), "nodes": rng.choice((0, 0, 1, 100))})
        case "quota":
            return Weather(at_s, "quota", {"limit": rng.choice((0, 1, 100)), "mode": rng.choice(("spot", "on-demand"))})
        case "faults":
            return Weather(at_s, "faults", _draw_cloud_fault(rng))
        case "api":
            return Weather(at_s, "api", _draw_api_fault(rng))
        case _:
            return Weather(at_s, "kill", {})


def _draw_cloud_fault(rng: random.Random) -> dict[str, Any]:
    code = rng.choice(("UNAVAILABLE", "ABORTED", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION"))
    words = "Cluster is running incompatible operation." if code == "FAILED_PRECONDITION" else "Try again later."
    rpc = rng.choice(
        ("CreateNodePool", "DeleteNodePool", "SetNodePoolAutoscaling", "GetOperation", "ListNodePools", "*")
    )
    how = {"lost_response": True} if rng.random() < 0.4 else {}
    return {"rpc": rpc, "code": code, "message": words, "probability": rng.choice((0.2, 0.5, 1.0)), **how}


def _draw_api_fault(rng: random.Random) -> dict[str, Any]:
    actions: tuple[dict[str, Any], ...] = (
        {"status": 500},
        {"status": 429, "headers": {"Retry-After": "1"}},
        {"drop": True},
        {"lose_answer": True, "method": WRITES},
        {"watch_error": 410, "watch": True},
    )
    return {**rng.choice(actions), "for_s": rng.uniform(0.2, 2.0)}
