"""What `status NAME --export-inputs` reads of nodes is what the operator has of them in its store."""

from typing import Any, cast

from tests.support.world import CLUSTER, World, make_model

from mistral_operator.api.names import CLAIM_LABEL, ROLE_LABEL, SHAPE_LABEL
from mistral_operator.cli.observe import Belongings, add_nodes
from mistral_operator.cluster.client import ApiClient, ListResult
from mistral_operator.cluster.kinds import MODEL, NODE, POD, REVISION, Kind
from mistral_operator.cluster.store import Store
from mistral_operator.controller.observation import RULES, observe
from mistral_operator.controller.pool_use import PoolUses
from mistral_operator.core.types import PoolUse

Json = dict[str, Any]
SELECTORS = {MODEL: "", REVISION: CLAIM_LABEL, POD: ROLE_LABEL, NODE: ""}


class Lists:
    """Stands in for an API server that has these objects."""

    def __init__(self, objects: dict[Kind, list[Json]]) -> None:
        self._objects = objects

    async def list(self, kind: Kind, namespace: str = "", *, label_selector: str = "") -> ListResult:
        assert label_selector == SELECTORS[kind]
        assert namespace == ("team-a" if kind.namespaced else "")
        return ListResult(self._objects[kind], "9")


def stored(body: Json) -> Json:
    return {**body, "metadata": {**body["metadata"], "resourceVersion": "1"}}


async def test_the_recorded_use_of_a_pool_is_the_operators() -> None:
    mine, other = (World(model=make_model(name, replicas=2)) for name in ("chat", "draft"))
    other.model["metadata"]["uid"] = "uid-draft"
    for world in (mine, other):
        world.step()
    (claim,) = mine.claims
    nodes = [{"metadata": {"name": name, "labels": {SHAPE_LABEL: claim}}} for name in ("a", "b", "c")]
    pods = [mine.start_pod("chat-0", node="a"), other.start_pod("draft-0", node="b")]
    for pod in pods:
        pod["metadata"]["namespace"] = "team-a"
    objects = {
        MODEL: [stored(mine.model), stored(other.model)],
        REVISION: [stored(revision) for world in (mine, other) for revision in world.revisions],
        POD: [stored(pod) for pod in pods],
        NODE: [stored(node) for node in nodes],
    }
    store = Store(RULES)
    uses = PoolUses(store)
    for kind, bodies in objects.items():
        for body in bodies:
            store[kind].put(body)
    seen = observe(store, mine.model, CLUSTER, uses)
    assert seen.pools == {claim: PoolUse(nodes=3, occupied=2, users=2)}
    found = Belongings(
        model=mine.model,
        children=tuple(mine.revisions),
        pods=(pods[0],),
        pod_events=(),
        model_events=(),
        claims=(),
    )
    read = await add_nodes(cast("ApiClient", Lists(objects)), found)
    assert read.pools == seen.pools
    assert [node["metadata"]["name"] for node in read.machines] == ["a", "c"]
    assert [node["metadata"]["name"] for node in seen.machines] == ["a", "c"]
