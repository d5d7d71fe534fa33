"""The story of one model for people: what it is, how far it is, why, what it costs, and what to do next. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from mistral_operator.cli.observe import Belongings, last_seen
from mistral_operator.cli.output import Cell, Style, count, facts, paint, seconds, table, text_width, wrap
from mistral_operator.planning.estimate import mark_price

# Conditions whose normal state is False.
_TROUBLES: Final = frozenset({"Degraded", "Reconciling", "Stalled"})
_RUNG_STYLES: Final = {"Active": Style.GOOD, "Next": Style.QUIET}
_RECENT_EVENTS: Final = 6


def tell(belongings: Belongings, now: datetime) -> list[str]:
    """All of it, in the order in which a person asks."""
    model = belongings.model
    status = model.get("status") or {}
    if not status.get("conditions"):
        return [
            *_head(model, status),
            *wrap("No operator has looked at this model yet. Is one running, and does it watch this namespace?"),
        ]
    return [
        *_head(model, status),
        *_summary(status),
        *_section("Conditions", _conditions(status["conditions"], now)),
        *_section("Ladder", _ladder((status.get("capacity") or {}).get("options") or ())),
        *_section("Timeline", _timeline(status.get("timeline") or ())),
        *_section("Node pools", _claims(belongings.claims)),
        *_section("Pods", _pods(belongings.pods, now)),
        *_section("Events", _events((*belongings.model_events, *belongings.pod_events), now)),
        *_section("Next", _next(advise(model))),
    ]


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", paint(title, Style.TITLE), *lines] if lines else []


def _head(model: Mapping[str, Any], status: Mapping[str, Any]) -> list[str]:
    metadata = model["metadata"]
    ready = find_condition(model, "Ready")
    words = f"{ready['reason']}" if ready else "not seen by an operator"
    style = condition_style(ready) if ready else Style.WAITING
    lines = [f"{paint(metadata['name'], Style.TITLE)} in {metadata['namespace']}: {paint(words, style)}"]
    observed = status.get("observedGeneration")
    if observed is not None and observed != metadata.get("generation"):
        lines.append(
            paint(
                f"  The status is about generation {observed}; the spec is at {metadata['generation']}.", Style.WAITING
            )
        )
    return lines


def _summary(status: Mapping[str, Any]) -> list[str]:
    plan = status.get("plan") or {}
    chosen = plan.get("chosen") or {}
    endpoint = status.get("endpoint") or {}
    summary = status.get("summary") or {}
    return facts([
        ("model", " · ".join(filter(None, (plan.get("model"), plan.get("repository"))))),
        ("hardware", summary.get("hardware", "")),
        ("engine", _engine(chosen)),
        ("replicas", f"{summary['ready']} ready" if "ready" in summary else ""),
        ("class", status.get("servingClassName") or ""),
        ("in line", _queue((status.get("capacity") or {}).get("queue") or {})),
        ("endpoint", f"{endpoint['url']}, model {endpoint.get('servedName')}" if "url" in endpoint else ""),
        ("cost", word_cost(status)),
        ("price", (status.get("cost") or {}).get("note", "")),
    ])  # fmt: skip


def _engine(chosen: Mapping[str, Any]) -> str:
    if not chosen:
        return ""
    batch = f"context {chosen['contextLength']}, {chosen['maxConcurrency']} sequences at once"
    return f"{chosen['engine']}, {chosen['precision']}, {batch}"


def _queue(queue: Mapping[str, Any]) -> str:
    return f"{queue['position']} of {queue['of']}, for {queue['for']}" if queue else ""


def word_cost(status: Mapping[str, Any]) -> str:
    """What the model costs now, how much of it is for nodes on which nothing is, and what one replica costs."""
    cost = status.get("cost") or {}
    hourly, doubt = cost.get("hourly"), mark_price(cost.get("note", ""))
    each = ((status.get("plan") or {}).get("chosen") or {}).get("hourlyCost")
    if hourly is None:
        return ""
    now = f"{_dollars(hourly)} an hour now"
    idle = f", {_dollars(cost['idle'])} of it for idle nodes" if cost.get("idle") else ""
    return (now + idle if each in (None, "unknown") else f"{now}{idle} ({_dollars(each)} for one replica)") + doubt


def _dollars(amount: str) -> str:
    return amount if amount == "unknown" else f"${Decimal(amount):,.2f}"


def _conditions(conditions: Iterable[Mapping[str, Any]], now: datetime) -> list[str]:
    found = list(conditions)
    rows = [
        [
            Cell(c["type"]),
            Cell(c["status"], condition_style(c)),
            Cell(c["reason"]),
            Cell(age(c.get("lastTransitionTime"), now), Style.QUIET, right=True),
        ]
        for c in found
    ]
    lines: list[str] = []
    for line, condition in zip(table(rows), found, strict=True):
        lines.append(line)
        if condition_style(condition) in (Style.BAD, Style.WAITING) and condition["message"]:
            lines += [paint(text, Style.QUIET) for text in wrap(condition["message"], "      ")]
    return lines


def condition_style(condition: Mapping[str, Any]) -> Style:
    """Good, waiting or bad; for troubles False is good."""
    holds = condition["status"] == "True"
    if condition["type"] == "Reconciling":
        return Style.WAITING if holds else Style.PLAIN
    if condition["type"] in _TROUBLES:
        return Style.BAD if holds else Style.PLAIN
    return Style.GOOD if holds else Style.WAITING


def _ladder(rungs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Nothing where there is only one rung: CapacityReady tells how that one fares."""
    if len(rungs) < 2:
        return []
    rows = [
        [
            Cell(str(number), right=True),
            Cell(rung["name"], Style.NAME),
            Cell(rung.get("state", ""), _RUNG_STYLES.get(rung.get("state", ""), Style.WAITING)),
            Cell(rung.get("reason", "")),
            Cell(f"again after {rung['retryAfter']}" if "retryAfter" in rung else "", Style.QUIET),
        ]
        for number, rung in enumerate(rungs, 1)
    ]
    return table(rows)


def _timeline(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    found = list(entries)
    if not found:
        return []
    start = parse_time(found[0]["time"])
    rows = [
        [
            Cell(entry["time"], Style.QUIET),
            Cell("+" + seconds((parse_time(entry["time"]) - start).total_seconds()), right=True),
            Cell(entry["reason"]),
            Cell(_cut(entry.get("message", ""), text_width() - 58), Style.QUIET),
        ]
        for entry in found
    ]
    return table(rows)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)].rstrip() + "…"


def _nodes(claim: Mapping[str, Any], nodes: Mapping[str, int]) -> str:
    """Nodes that are there have no bounds."""
    current = nodes.get("current", 0)
    if "nodes" in claim["spec"]:
        return f"{current} that {'was' if current == 1 else 'were'} there and would do"
    return f"{current} of at most {nodes.get('desiredMax', '?')}"


def _claims(claims: Iterable[Mapping[str, Any]]) -> list[str]:
    lines: list[str] = []
    for claim in claims:
        status = claim.get("status") or {}
        ready = find_condition(claim, "Ready") or {}
        nodes = status.get("nodes") or {}
        users = ", ".join(f"{user['namespace']}/{user['name']}" for user in status.get("users") or ())
        lines.append(f"  {paint(claim['metadata']['name'], Style.NAME)}  {status.get('state', 'Pending')}")
        lines += facts([
            ("pool", status.get("poolName", "")),
            ("nodes", _nodes(claim, nodes) if nodes else ""),
            ("zones", ", ".join(claim["spec"].get("zones") or ())),
            ("users", users),
            ("operation", (status.get("operation") or {}).get("name", "")),
            ("says", ready.get("message", "")),
        ], indent="    ")  # fmt: skip
    return lines


def _pods(pods: Iterable[Mapping[str, Any]], now: datetime) -> list[str]:
    rows = []
    for pod in pods:
        status = pod.get("status") or {}
        containers = status.get("containerStatuses") or [{}]
        ready = bool(containers[0].get("ready"))
        rows.append([
            Cell(pod["metadata"]["name"], Style.NAME),
            Cell("ready" if ready else word_pod(pod), Style.GOOD if ready else Style.WAITING),
            Cell(pod["spec"].get("nodeName", "no node yet")),
            Cell(count(containers[0].get("restartCount", 0), "restart")),
            Cell(age(pod["metadata"].get("creationTimestamp"), now), Style.QUIET, right=True),
        ])  # fmt: skip
    return table(rows) if rows else []


def word_pod(pod: Mapping[str, Any]) -> str:
    """The state of a pod in one or two words, as kubectl would say it."""
    status = pod.get("status") or {}
    if "deletionTimestamp" in pod["metadata"]:
        return "Terminating"
    for container in status.get("containerStatuses") or ():
        waiting = (container.get("state") or {}).get("waiting")
        if waiting:
            return str(waiting.get("reason", "Waiting"))
        if container.get("ready"):
            return "Ready"
    return str(status.get("phase", "Pending"))


def _events(events: Iterable[Mapping[str, Any]], now: datetime) -> list[str]:
    recent = sorted(events, key=last_seen)[-_RECENT_EVENTS:]
    lines: list[str] = []
    for event in recent:
        style = Style.BAD if event.get("type") == "Warning" else Style.PLAIN
        lines.append(
            f"  {paint(age(last_seen(event), now).rjust(9), Style.QUIET)}  {paint(str(event.get('reason')), style)}"
        )
        lines += [paint(text, Style.QUIET) for text in wrap(str(event.get("message", "")), " " * 13)]
    return lines


class Advice(NamedTuple):
    """What to do next: words, and commands to copy, which are never broken into lines."""

    text: str = ""
    commands: tuple[str, ...] = ()


def advise(model: Mapping[str, Any]) -> Advice:
    """The one thing to do next, or what is being waited for."""
    name, namespace = model["metadata"]["name"], model["metadata"]["namespace"]
    stalled, ready = find_condition(model, "Stalled"), find_condition(model, "Ready")
    if stalled and stalled["status"] == "True":
        return Advice(f"This waits for you. {stalled['message']}")
    if ready is None or ready["status"] != "True":
        return Advice(f"Wait: {ready['message'] if ready else 'no operator has looked at it yet.'}")
    if ready["reason"] == "ScaledToZero":
        return Advice(commands=(f"kubectl -n {namespace} scale mistralmodel/{name} --replicas=1",))
    served = (model["status"].get("endpoint") or {}).get("servedName", "")
    body = json.dumps({"model": served, "messages": [{"role": "user", "content": "Hello"}]})
    return Advice(
        commands=(
            f"kubectl -n {namespace} port-forward service/{name} 8000:80",
            f"curl localhost:8000/v1/chat/completions -H 'Content-Type: application/json' -d '{body}'",
        )
    )


def _next(advice: Advice) -> list[str]:
    return [*(wrap(advice.text) if advice.text else []), *(f"  {command}" for command in advice.commands)]


def find_condition(item: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    """One condition of a live object."""
    conditions = (item.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c["type"] == kind), None)


def parse_time(text: str) -> datetime:
    """RFC 3339 as Kubernetes writes it."""
    return datetime.fromisoformat(text).astimezone(UTC)


def age(text: str | None, now: datetime) -> str:
    """How long ago, for people; empty when the time isn't known."""
    return seconds(max(0.0, (now - parse_time(text)).total_seconds())) if text else ""
