"""What to do about a pool that somebody changed: mend one thing, or tell why it is left. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mistral_operator.capacity.claim_case import Case
from mistral_operator.capacity.claim_types import call_of
from mistral_operator.capacity.drift import (
    Done,
    Drift,
    DriftNote,
    DriftPolicy,
    describe_bounds,
    find_drift,
    is_reported,
    policy_of,
    was_mended_lately,
)
from mistral_operator.capacity.pools import is_bounded
from mistral_operator.capacity.port import Bounds, PoolStatus, SetSize

SLICE_EMPTIED: Final = "SliceEmptied"
_SET_BACK: Final = "because it was put right a short while ago and somebody sets it back"


@dataclass(frozen=True, slots=True)
class Remedy:
    """The one thing to mend next; without one, everything that was found is only told."""

    mend: Drift | None
    told: tuple[Drift, ...] = ()
    why: str = ""
    """Why nothing is mended, as the end of a sentence."""

    @property
    def harms(self) -> bool:
        """Whether pods can't come to the pool's nodes."""
        return any(drift.harms for drift in (*self.told, *([self.mend] if self.mend else [])))

    @property
    def is_lack(self) -> bool:
        """Whether pods can't come only because the nodes are gone, as when spot machines were taken back: nobody need
        have changed anything.
        """
        return {drift.finding for drift in self.told if drift.harms} == {SLICE_EMPTIED}

    @property
    def text(self) -> str:
        """What isn't as it should be."""
        return "; ".join(drift.text for drift in self.told)

    @property
    def notes(self) -> tuple[DriftNote, ...]:
        """What to write down once the thing is mended, or now if nothing is."""
        if self.mend:
            return (DriftNote(self.mend.finding, self.mend.text, Done.REPAIRED),)
        return tuple(DriftNote(drift.finding, drift.text, Done.REPORTED) for drift in self.told)


def choose_remedy(case: Case) -> Remedy | None:
    """None while the pool is as it should be, and while GKE works on it and would refuse any change."""
    claim, pool, seen, settings = case.claim, case.pool, case.seen, case.settings
    if pool.status not in (PoolStatus.RUNNING, PoolStatus.RUNNING_WITH_ERROR):
        return None
    found = find_drift(pool, claim, settings.place.uid, case.hold)
    if not any(drift.finding == "NodeLabelsChanged" for drift in found):
        # Nodes without their labels aren't found, and would look as if they were gone.
        found = (*_find_emptied(case), *found)
    left = _find_left_bounds(case)
    if policy_of(claim, settings.drift) is DriftPolicy.REPORT:
        told = (*found, *left)
        return Remedy(None, told, "because the policy for drift is Report") if told else None
    if not found:
        return Remedy(None, left, _SET_BACK) if left else None
    mendable = [drift for drift in found if type(drift.mend) in seen.mends]
    if not mendable:
        return Remedy(None, found, "because what provisions the pool can't change it")
    fresh = [drift for drift in mendable if not was_mended_lately(claim, drift.finding, drift.text, case.now)]
    if not fresh:
        return Remedy(None, (*found, *left), _SET_BACK)
    return Remedy(_next(fresh, case), found)


def _next(found: Iterable[Drift], case: Case) -> Drift:
    """The first whose call hasn't just failed, so that one which GKE refuses holds up no other."""
    return min(found, key=lambda drift: drift.mend is not None and case.failed(call_of(drift.mend)) is not None)


def _find_emptied(case: Case) -> tuple[Drift, ...]:
    """A slice has all its nodes or none; GKE brings back lost ones by itself, but not those that somebody gave up."""
    hosts, empty_s = case.claim.spec.shape.hosts, case.seen.empty_s
    if hosts is None or empty_s is None or empty_s < case.settings.slice_empty_after_s:
        return ()
    words = f"none of the {hosts} nodes of the slice is there, and GKE brings none"
    return (Drift(SLICE_EMPTIED, words, SetSize(hosts), harms=True),)


def _find_left_bounds(case: Case) -> tuple[Drift, ...]:
    found = find_changed_bounds(case)
    return (found,) if found and is_left(case, found) else ()


def find_changed_bounds(case: Case) -> Drift | None:
    """Bounds that aren't as wanted; their mend is the claim's own call for bounds, which it needs in any case."""
    if not case.seen.users or not is_bounded(case.claim) or case.pool.bounds == case.bounds:
        return None
    # Of what the users need, which stays the same while nodes come and go.
    needed = Bounds(total_min=0, total_max=case.needed_max)
    text = f"the bounds are {describe_bounds(case.pool.bounds)}, not {describe_bounds(needed)}"
    return Drift("BoundsChanged", text, mend=None)


def are_others_doing(case: Case) -> bool:
    """Whether somebody else changed the bounds: they were right when they were last looked at, and the users want what
    they wanted then. A pool that was raised may have got nodes by that, down to which it is lowered first.
    """
    nodes = case.claim.status.get("nodes") or {}
    same = nodes.get("desiredMax") == case.seen.nodes_for(sum(user.nodes for user in case.seen.users))
    return same and case.needed_max <= int(nodes.get("allowedMax", 0)) <= case.bounds.total_max


def are_others_bounds(case: Case, bounds: Drift) -> bool:
    """The same also of those that were left as they were at the last look."""
    return are_others_doing(case) or is_reported(case.claim, bounds.finding, bounds.text)


def is_left(case: Case, bounds: Drift) -> bool:
    """Whether bounds that somebody else changed stay so: by policy until the users want others, else for a while, when
    they were put right just now. Too low ones are put right each time, or replicas would lack their nodes.
    """
    if not are_others_bounds(case, bounds):
        return False
    if policy_of(case.claim, case.settings.drift) is DriftPolicy.REPORT:
        return True
    found, wanted = case.pool.bounds, case.bounds
    enough = found is not None and found.total_max >= wanted.total_max
    return enough and was_mended_lately(case.claim, bounds.finding, bounds.text, case.now)
