"""Several models of one serving class, each in a World of its own, with the operator's ledger between them."""

from typing import Any

from tests.support.world import World, make_class, make_model

from mistral_operator.cluster.kinds import MODEL
from mistral_operator.cluster.store import Key, Store
from mistral_operator.controller.ledger import Ledger
from mistral_operator.controller.observation import RULES
from mistral_operator.core.types import Outcome

Json = dict[str, Any]


class Fleet:
    """Models by name; `woken` are those that the ledger wants to have looked at."""

    def __init__(self, **limits: str) -> None:
        self.worlds: dict[str, World] = {}
        self.classes = {"standard": make_class(limits=limits)}
        self.woken: list[str] = []
        self._version = 0
        self.restart()

    def restart(self) -> None:
        """Another process of the operator: what is remembered is gone."""
        self._store = Store(RULES)
        self.ledger = Ledger(self._store, lambda key: self.woken.append(key.name))
        for world in self.worlds.values():
            self._put(world)
        assert self.ledger.complete == (not self.worlds)

    def add(self, name: str, *, namespace: str = "team-a", priority: int = 0, **spec: Any) -> World:
        """Make a model, younger than all that there are."""
        model = make_model(name, capacity={"priority": priority, **spec.pop("capacity", {})}, **spec)
        born = f"2026-11-23T10:00:{len(self.worlds):02}Z"
        model["metadata"] |= {"namespace": namespace, "uid": f"uid-{name}", "creationTimestamp": born}
        self.worlds[name] = world = World(model=model, classes=self.classes)
        self._put(world)
        return world

    def limit(self, **limits: str) -> None:
        """Write the class anew."""
        self.classes["standard"] = make_class(limits=limits)

    def look(self, *names: str) -> Outcome:
        """Have the operator look at these models, one after the other; answers the last outcome."""
        for name in names:
            world = self.worlds[name]
            world.budget = self.ledger.show(self.key(world), "", tuple(self.classes.values()))
            outcome = world.decide()
            if self.ledger.complete or not outcome.account.waits:
                world.step()
            self.ledger.record(self.key(world), "", outcome.account)
        return outcome

    def serve(self, name: str) -> None:
        """Let as many replicas run as the workload is asked for, and the operator see it."""
        world = self.worlds[name]
        self.look(name)
        world.provision()
        for number in range(world.deployment["spec"]["replicas"]):
            world.start_pod(f"{name}-{number}", node=f"node-{name}-{number}")
        world.make_ready()
        self.look(name)

    def delete(self, name: str) -> None:
        """Delete a model, whose pods are gone at once."""
        key = self.key(self.worlds.pop(name))
        self._version += 1
        self._store[MODEL].remove(key, self._version)

    def replicas(self) -> Json:
        """What each model's workload is asked for."""
        return {name: world.deployment["spec"]["replicas"] for name, world in self.worlds.items()}

    def queue(self, name: str) -> Json:
        """Where a model stands in line, by its status; empty when it doesn't."""
        found: Json = self.worlds[name].model["status"]["capacity"].get("queue", {})
        return found

    def key(self, world: World) -> Key:
        """The model's key."""
        metadata = world.model["metadata"]
        return Key(metadata["namespace"], metadata["name"])

    def _put(self, world: World) -> None:
        self._version += 1
        body = world.model
        self._store[MODEL].put({**body, "metadata": {**body["metadata"], "resourceVersion": str(self._version)}})
