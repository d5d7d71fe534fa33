"""ComputeClass on an API server in memory, for the suite that asks the same of every provisioner."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from tests.support.compute_classes import Shelf, open_compute_classes
from tests.support.provisioned_world import Harness, Obstacle, Watched

from mistral_operator.cluster.errors import Forbidden, NotFound
from mistral_operator.planning.types import Provisioner


class ComputeClassHarness(Harness):
    """ComputeClasses in memory: what GKE makes of them shows in nodes, of which claims need none to be ready."""

    provisioner = Provisioner.COMPUTE_CLASS
    has_bounds = False
    has_uids = True
    terms: ClassVar[Mapping[str, Any]] = {
        "provisioner": "ComputeClass",
        "alternatives": [{"consumption": "Spot", "zones": ["us-central1-a"]}],
    }
    impossible = ({"consumption": "Reservation"}, {"slice": {"group": "g", "number": 0}})

    def __init__(self) -> None:
        super().__init__()
        self.shelf = Shelf()
        self.port = Watched(open_compute_classes(self.shelf), self.kills)

    async def own(self) -> set[str]:
        return {name for name in self.shelf.bodies if not await self.has_stranger(name)}

    async def bounds(self) -> int | None:
        return None

    async def put_stranger(self, name: str) -> None:
        metadata = {"name": name, "labels": {"team": "x"}, "uid": "uid-of-somebody"}
        self.shelf.bodies[name] = {"metadata": metadata, "spec": {}}

    async def usurp(self, name: str) -> None:
        await self.put_stranger(name)

    async def has_stranger(self, name: str) -> bool:
        return bool(self.shelf.bodies[name]["metadata"]["labels"].get("team") == "x")

    def obstacles(self) -> dict[str, Obstacle]:
        def refuse(refusal: Forbidden | NotFound | None) -> Callable[[], None]:
            return lambda: setattr(self.shelf, "refusal", refusal)

        denied, absent = 'computeclasses.cloud.google.com is forbidden: User "operator"', "404 page not found"
        reason, none = "ComputeClassesMissing", refuse(None)
        return {
            "permission": Obstacle(reason, denied, refuse(Forbidden(403, "Forbidden", denied)), none),
            "not served": Obstacle(reason, absent, refuse(NotFound(404, "NotFound", absent)), none),
        }

    def lose_answer(self) -> None:
        self.shelf.loses_answer = True


@asynccontextmanager
async def compute_class() -> AsyncIterator[Harness]:
    """ComputeClass on an API server in memory."""
    yield ComputeClassHarness()
