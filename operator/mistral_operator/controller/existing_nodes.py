"""Nodes with devices that the operator didn't make: watched by the labels that tell so, if they may be used.

A cluster of 15,000 nodes has few kinds of them with accelerators, and without provisioner Existing nobody asks.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from mistral_operator.api.common import quantity_amount
from mistral_operator.capacity.claims.existing import ExistingNode
from mistral_operator.cluster.client import ApiClient
from mistral_operator.cluster.kinds import NODE
from mistral_operator.cluster.reflector import Reflector
from mistral_operator.cluster.store import Meta, Rules, Shelf
from mistral_operator.planning.nodes import HARDWARE_LABELS, NodeGroup, merge_groups, read_group, read_taints

Json = dict[str, Any]

_COALESCE_S: Final = 2.0
"""Nodes come and go in bursts."""

log = logging.getLogger(__name__)


class ExistingNodes:
    """What is known of them. A node that has several of the labels counts once."""

    def __init__(
        self,
        client: ApiClient,
        *,
        on_reconnect: Callable[[], None] = lambda: None,
        on_restart: Callable[[str, str], None] = lambda _plural, _cause: None,
    ) -> None:
        self._shelves = tuple(Shelf(NODE, Rules(slim=_slim, digest=_digest)) for _ in HARDWARE_LABELS)
        self.reflectors = tuple(
            Reflector(client, shelf, label_selector=label, on_reconnect=on_reconnect, on_restart=on_restart)
            for label, shelf in zip(HARDWARE_LABELS, self._shelves, strict=True)
        )
        self._known: dict[str, ExistingNode] = {}
        self._groups: tuple[NodeGroup, ...] | None = None
        self._changed = asyncio.Event()
        for shelf in self._shelves:
            shelf.listen(self._on_node)

    @property
    def nodes(self) -> tuple[ExistingNode, ...]:
        """Each of them, whosever it is."""
        return tuple(self._known.values())

    @property
    def groups(self) -> tuple[NodeGroup, ...]:
        """Which kinds there are."""
        if self._groups is None:
            self._groups = merge_groups(read_group(node.labels, node.allocatable, node.taints) for node in self.nodes)
        return self._groups

    async def follow(self, on_nodes: Callable[[], None], on_kinds: Callable[[], None]) -> None:
        """Until cancelled: calls `on_nodes` after changes of nodes, and `on_kinds` when other kinds are there."""
        before = self.groups
        while True:
            await self._changed.wait()
            await asyncio.sleep(_COALESCE_S)
            self._changed.clear()
            on_nodes()
            if self.groups != before:
                before = self.groups
                log.info("The cluster has other nodes with devices now: %d kinds", len(before))
                on_kinds()

    def _on_node(self, old: Meta | None, new: Meta | None) -> None:
        if old is not None and new is not None and old.digest == new.digest:
            return
        meta = new or old
        assert meta is not None, "a change is of something"
        body = next((found for shelf in self._shelves if (found := shelf.get(meta.key))), None)
        if body is None:
            self._known.pop(meta.key.name, None)
        else:
            self._known[meta.key.name] = read_node(body)
        self._groups = None
        self._changed.set()


def read_node(body: Mapping[str, Any]) -> ExistingNode:
    """A Node object, as far as it matters. An amount that can't be read counts as none."""
    status, spec = body.get("status") or {}, body.get("spec") or {}
    conditions = {item.get("type"): item.get("status") for item in status.get("conditions") or ()}
    return ExistingNode(
        name=body["metadata"]["name"],
        labels=body["metadata"].get("labels") or {},
        allocatable={name: str(amount) for name, amount in _amounts(status).items() if _is_quantity(str(amount))},
        taints=read_taints(spec),
        ready=conditions.get("Ready") == "True",
    )


def _amounts(status: Mapping[str, Any]) -> Mapping[str, Any]:
    amounts: Mapping[str, Any] = status.get("allocatable") or {}
    return amounts


def _is_quantity(text: str) -> bool:
    try:
        quantity_amount(text)
    except (ValueError, KeyError):
        return False
    return True


def _slim(node: Json) -> Json:
    """Labels, taints, what is allocatable, and whether it is ready."""
    metadata, status = node["metadata"], node.get("status") or {}
    kept = ("name", "uid", "resourceVersion", "labels", "deletionTimestamp")
    ready = [item for item in status.get("conditions") or () if item.get("type") == "Ready"]
    return {
        "metadata": {name: metadata[name] for name in kept if name in metadata},
        "spec": {"taints": (node.get("spec") or {}).get("taints") or []},
        "status": {
            "allocatable": status.get("allocatable") or {},
            "conditions": [{"type": "Ready", "status": item.get("status")} for item in ready],
        },
    }


def _digest(node: Json) -> object:
    metadata = {name: value for name, value in node["metadata"].items() if name != "resourceVersion"}
    return {**node, "metadata": metadata}
