"""A fleet that is short of machines: its ladders meet stock-outs in three zones, and it must not weary GKE."""

import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
from tests.bench.fleet import API, create_models, model_body
from tests.bench.process import operators_on
from tests.bench.report import report, say
from tests.bench.site import Site, new_namespace, open_site
from tests.support.polling import eventually

from mistral_operator.capacity.cloud import CloudPace
from mistral_operator.planning.types import LadderSettings

MODELS = 300
TENANTS = 10
LONGEST_S = 400.0
LADDER = (
    {"machineType": "g2-standard-8", "consumption": "Spot"},
    {"machineType": "g2-standard-8"},
    {"machineType": "a2-highgpu-1g"},
)
STOCK = (
    *({"machine_type": "g2-standard-8", "zone": f"us-central1-{zone}", "nodes": 0} for zone in "abc"),
    {"machine_type": "g2-standard-8", "mode": "spot", "zone": "us-central1-a", "nodes": 60},
    {"machine_type": "g2-standard-8", "mode": "on-demand", "zone": "us-central1-b", "nodes": 120},
)
"""Of 300 replicas 60 find a spot machine, 120 one on demand; the others go on to the last rung. Later entries win."""
SPEED = 10
"""So many times faster than GKE: the ladder and the claims are by as much less patient than usual."""
LADDER_SETTINGS, PACE = LadderSettings(), CloudPace(backoff_scale=1 / SPEED)
HASTE = (
    f"--zone-patience-s={LADDER_SETTINGS.zone_patience_s / SPEED:g}",
    f"--stockout-cooldown-s={LADDER_SETTINGS.stockout_cooldown_s / SPEED:g}",
    f"--cloud-backoff-scale={PACE.backoff_scale:g}",
)
Json = Mapping[str, Any]


async def measure_capacity(directory: Path) -> None:
    """All rows of the fleet that is short of machines."""
    async with open_site(directory, SPEED) as site, operators_on(site) as operators, aiohttp.ClientSession() as http:
        for entry in STOCK:
            await (await http.post(f"{site.gke.control_url}/stock", json=entry)).read()
        namespaces = [f"team-{number}" for number in range(TENANTS)]
        for namespace in namespaces:
            await new_namespace(site.admin, namespace)
        operator = operators.start(*HASTE)
        await operator.expect("it leads", operator.leads)
        await site.start_kubelet()
        say(f"creating {MODELS} models for which there are {60 + 120} machines of the first two rungs")
        started = time.monotonic()
        await create_models(site.admin, (_body(number, namespaces[number % TENANTS]) for number in range(MODELS)))
        await eventually(lambda: _all_have_nodes(site), LONGEST_S, "all models have nodes", interval_s=2)
        taken_s = time.monotonic() - started
        state = await (await http.get(f"{site.gke.control_url}/state")).json()
        await operator.stop()
    _report(state, taken_s)


def _body(number: int, namespace: str) -> dict[str, Any]:
    body = model_body(f"model-{number}", namespace, "mistral-7b-v0.3")
    return {**body, "spec": {**body["spec"], "capacity": {"options": list(LADDER)}}}


async def _all_have_nodes(site: Site) -> bool:
    listed = await site.admin.get(f"{API}/mistralmodels")
    ready = sum(map(_has_nodes, listed["items"])) if listed else 0
    say(f"{ready} of {MODELS} have their nodes")
    return ready == MODELS


def _has_nodes(model: Json) -> bool:
    conditions = model.get("status", {}).get("conditions", ())
    return any(item["type"] == "CapacityReady" and item["status"] == "True" for item in conditions)


def _report(state: Json, taken_s: float) -> None:
    calls, interval_s = state["calls"], PACE.list_interval_s * PACE.backoff_scale
    note = (
        f"{MODELS} models of {TENANTS} tenants over 3 zones, 3 rungs each, with stock for 180 on the first two; all had"
        f" nodes after {taken_s:.0f} s, on a simulated GKE at {SPEED} times its speed; an interval is {interval_s:g} s"
    )
    listed = [_moment(call["at"]) for call in calls if call["rpc"] == "ListNodePools"]
    span_s = max(interval_s, _moment(calls[-1]["at"]) - _moment(calls[0]["at"]))
    report("short of machines: lists of node pools in an interval", len(listed) * interval_s / span_s, "lists", 1, note)
    report("short of machines: operations at once", _most_at_once(state["operations"]), "operations", 5)
    made = {call["target"] for call in calls if call["rpc"] == "CreateNodePool" and call["code"] == "OK"}
    report("short of machines: node pools made", len(made), "pools", 60)


def _most_at_once(operations: Iterable[Json]) -> int:
    """Of the operations' beginnings and ends in the order of time, an end before a beginning at the same moment."""
    turns = [(_moment(each["start_time"]), 1) for each in operations]
    turns += [(_moment(each["end_time"]), -1) for each in operations if each.get("end_time")]
    running = most = 0
    for _, turn in sorted(turns):
        running += turn
        most = max(most, running)
    return most


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
