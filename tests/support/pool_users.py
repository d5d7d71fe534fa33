"""What the claims' side makes of models' objects: the users of each claim, from a store as the operator keeps it."""

import copy
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from tests.support.world import World

from mistral_operator.cluster.kinds import JOB, MODEL, REVISION, Kind
from mistral_operator.cluster.store import Store
from mistral_operator.controller.claim_users import ClaimUsers
from mistral_operator.controller.observation import RULES
from mistral_operator.core.revisions import History, read_history

Json = dict[str, Any]
KINDS = {"ControllerRevision": REVISION, "Job": JOB}


class PoolUsers:
    """A store that is filled by hand."""

    def __init__(self) -> None:
        self.store = Store(RULES)
        self.users = ClaimUsers(self.store)
        self._version = 0

    def put(self, kind: Kind, body: Json) -> None:
        """Let the store see an object."""
        self._version += 1
        body = copy.deepcopy(body)
        body["metadata"]["resourceVersion"] = str(self._version)
        self.store[kind].put(body)

    def known(self, claim: str, tenant: str = "team-a") -> dict[str, int]:
        """Model → what its replicas may need of the claim's pool at most."""
        return {user.name: user.nodes for user in self.users.known(claim, tenant)}


def needs_of(worlds: Iterable[World]) -> dict[str, dict[str, int]]:
    """Claim → model → the same, as the worlds are now."""
    site, claims = PoolUsers(), set[str]()
    for world in worlds:
        site.put(MODEL, world.model)
        for child in world.children.values():
            if child["kind"] in KINDS:
                site.put(KINDS[child["kind"]], child)
        claims |= {world.claim_of(revision) for revision in world.revisions}
    return {claim: site.known(claim) for claim in sorted(claims)}


def history_of(world: World) -> History:
    """The model's revisions as the operator reads them."""
    return read_history(tuple(world.children.values()))


def price_of(world: World) -> dict[str, Decimal]:
    """Claim → US dollars an hour of one of its machines."""
    return {each.claim_name: each.plan.chosen.hourly_cost or Decimal(0) for each in history_of(world).revisions}
