"""The ladder by itself: which rung has its turn, and that it always ends on the best one that has capacity."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistral_operator.capacity.ladder import Moment, Rung, RungState, Sight, choose_rung, judge_rungs, next_look_s
from mistral_operator.planning.types import Consumption, LadderSettings

START = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
RULES = LadderSettings()
MOST_LOOKS = 5000


def sight(rung: str, reason: str = "StockedOut", *, serving: Sequence[str] = (), nodes: bool = False) -> Sight:
    return Sight(
        rung=rung,
        has_nodes=nodes,
        serving=frozenset(serving),
        reason=reason,
        message=f"the cloud says {reason}",
        consumption=Consumption.ON_DEMAND,
        zones=2,
        node_s=90,
    )


def moment(seconds: float = 0.0) -> Moment:
    return Moment(START + timedelta(seconds=seconds), RULES, "uid")


def tried(name: str, reason: str = "StockedOut") -> Rung:
    return Rung(name, RungState.TRYING, reason, since=START)


NEXT = Rung("b")


def test_a_stock_out_is_waited_out_for_as_long_as_there_are_zones() -> None:
    rungs = (tried("a"), NEXT)
    assert judge_rungs(rungs, sight("a"), moment(119))[0].state is RungState.TRYING
    assert next_look_s(rungs, sight("a"), moment(100)) == 20
    exhausted, other = judge_rungs(rungs, sight("a"), moment(120))
    assert (exhausted.state, exhausted.reason, exhausted.message) == (
        RungState.EXHAUSTED, "StockedOut", "the cloud says StockedOut",
    )  # fmt: skip
    assert other == NEXT
    assert exhausted.retry_after is not None
    assert 600 <= (exhausted.retry_after - moment(120).now).total_seconds() <= 720
    assert choose_rung((exhausted, NEXT), "a", never, moment(120)) == "b"


def never(_rung: str) -> bool:
    return False


def always(_rung: str) -> bool:
    return True


@pytest.mark.parametrize("reason", ["QuotaExceeded", "PermissionDenied", "PoolNameTaken"])
def test_what_only_a_person_can_change_is_not_waited_for(reason: str) -> None:
    refused, _ = judge_rungs((tried("a"), NEXT), sight("a", reason), moment())
    assert (refused.state, refused.reason) == (RungState.REFUSED, reason)
    assert refused.retry_after is not None
    assert refused.retry_after >= START + timedelta(seconds=RULES.refused_cooldown_s)


def test_silence_ends_with_the_deadline_of_the_mode() -> None:
    waiting = sight("a", "WaitingForNodes")
    assert judge_rungs((tried("a"), NEXT), waiting, moment(899))[0].state is RungState.TRYING
    assert judge_rungs((tried("a"), NEXT), waiting, moment(900))[0].state is RungState.EXHAUSTED
    slow = replace(waiting, node_s=1200)
    assert judge_rungs((tried("a"), NEXT), slow, moment(3599))[0].state is RungState.TRYING


def test_the_only_rung_is_never_left() -> None:
    for reason in ("StockedOut", "QuotaExceeded", "WaitingForNodes"):
        (only,) = judge_rungs((tried("a"),), sight("a", reason), moment(10**6))
        assert only.state is RungState.TRYING
        assert next_look_s((only,), sight("a", reason), moment(10**6)) is None


def test_a_rung_that_serves_is_not_left_because_one_more_replica_finds_no_node() -> None:
    rungs = judge_rungs((tried("a"), NEXT), sight("a", serving=("a",)), moment(10**5))
    assert rungs[0].state is RungState.ACTIVE
    assert choose_rung(rungs, "a", always, moment(10**5)) == "a"


def served_below(retry_s: float) -> tuple[Rung, Rung]:
    failed = Rung("a", RungState.EXHAUSTED, "StockedOut", "", START, START + timedelta(seconds=retry_s))
    return failed, Rung("b", RungState.ACTIVE, since=START)


def test_the_better_rung_is_tried_again_after_its_cooldown_and_the_interval() -> None:
    rungs = served_below(retry_s=600)
    assert choose_rung(rungs, "b", always, moment(601)) == "b", "too short after the last move"
    assert choose_rung(rungs, "b", always, moment(1800)) == "a"
    assert choose_rung(rungs, "b", never, moment(1800)) == "b", "it can't be built beside what serves"
    assert choose_rung(served_below(retry_s=4000), "b", always, moment(1800)) == "b"
    assert next_look_s(rungs, sight("b", nodes=True), moment(0)) == 600


def test_a_return_that_fails_leads_back_to_what_serves_and_is_not_repeated_soon() -> None:
    rungs = (tried("a"), Rung("b", RungState.ACTIVE, since=START))
    judged = judge_rungs(rungs, sight("a", serving=("b",)), moment(120))
    assert judged[1] == rungs[1], "what serves stays as it was"
    assert judged[0].retry_after is not None
    assert judged[0].retry_after >= moment(120 + RULES.return_interval_s).now
    assert choose_rung(judged, "a", always, moment(120)) == "b"


def test_when_all_have_failed_the_first_is_waited_on() -> None:
    rungs = judge_rungs((served_below(retry_s=600)[0], tried("b")), sight("b"), moment(120))
    assert [rung.state for rung in rungs] == [RungState.EXHAUSTED, RungState.EXHAUSTED]
    assert choose_rung(rungs, "b", never, moment(120)) == "a"
    assert choose_rung(rungs, "a", never, moment(120)) == "a"
    assert next_look_s(rungs, sight("a"), moment(120)) == 480
    found = judge_rungs(rungs, sight("a", nodes=True), moment(130))
    assert found[0].state is RungState.ACTIVE, "a node that comes before its turn is taken"
    again = judge_rungs(rungs, sight("a"), moment(600))
    assert (again[0].state, again[0].since) == (RungState.TRYING, moment(600).now)


def test_models_that_failed_together_do_not_come_back_together() -> None:
    retries = set()
    for number in range(20):
        at = replace(moment(120), seed=f"uid-{number}")
        retries.add(judge_rungs((tried("a"), NEXT), sight("a"), at)[0].retry_after)
    assert len(retries) == 20


@dataclass
class Cloud:
    """Rungs with capacity at some times; the model moves as the ladder says, and its replica follows."""

    windows: dict[str, tuple[float, float]]
    """Rung → when it has capacity, in seconds."""
    rungs: tuple[Rung, ...] = field(init=False)
    held: str = field(init=False)
    serving: str = ""
    seconds: float = 0.0
    moves: list[tuple[float, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rungs = tuple(map(Rung, self.windows))
        self.held = self.rungs[0].name

    def look(self) -> float | None:
        begins_s, ends_s = self.windows[self.held]
        found = self.held == self.serving or begins_s <= self.seconds < ends_s
        if found:
            self.serving = self.held  # A node that is there stays: capacity that ends is not taken away.
        seen = sight(self.held, serving=(self.serving,) if self.serving else (), nodes=found)
        at = moment(self.seconds)
        self.rungs = judge_rungs(self.rungs, seen, at)
        target = choose_rung(self.rungs, self.held, always, at)
        if target == self.held:
            return next_look_s(self.rungs, seen, at)
        self.moves.append((self.seconds, target, self.serving))
        self.held = target
        return 0.0

    def run(self, until_s: float) -> None:
        """Look when the ladder asks for it, and whenever the capacity of a rung changes."""
        changes = sorted(edge for window in self.windows.values() for edge in window)
        for _ in range(MOST_LOOKS):
            wait_s = self.look()
            coming = [edge for edge in changes if edge > self.seconds]
            moments = [self.seconds + wait_s] if wait_s is not None else []
            if not (moments or coming):
                return
            self.seconds = min((*moments, *coming))
            if self.seconds > until_s:
                return
        raise AssertionError(f"still moving after {MOST_LOOKS} looks: {self.moves[-6:]}")


FOREVER = 10**9
NO_CAPACITY = (-2.0, -1.0)
TIMES = st.floats(0, 4000)
WINDOWS = st.lists(st.just(NO_CAPACITY) | st.tuples(TIMES, st.just(float(FOREVER))), min_size=2, max_size=5)


@given(WINDOWS)
def test_a_model_ends_on_the_best_rung_that_has_capacity(windows: list[tuple[float, float]]) -> None:
    names = "abcde"[: len(windows)]
    cloud = Cloud(dict(zip(names, windows, strict=True)))
    cloud.run(until_s=40_000)
    best = next((name for name, window in cloud.windows.items() if window != NO_CAPACITY), "")
    assert cloud.serving == best


@given(WINDOWS)
def test_what_serves_is_never_given_up_before_a_better_one_serves(windows: list[tuple[float, float]]) -> None:
    cloud = Cloud(dict(zip("abcde", windows, strict=False)))
    order = [*cloud.windows, ""]
    ranks = []
    for until_s in range(0, 20_000, 250):
        cloud.run(until_s)
        ranks.append(order.index(cloud.serving))
    assert ranks == sorted(ranks, reverse=True), "nothing served comes before all rungs, the best one last"


@given(WINDOWS)
def test_each_better_rung_is_tried_beside_what_serves_no_more_often_than_the_interval_allows(
    windows: list[tuple[float, float]],
) -> None:
    cloud = Cloud(dict(zip("abcde", windows, strict=False)))
    cloud.run(until_s=40_000)
    for rung in cloud.windows:
        climbs = [at_s for at_s, target, serving in cloud.moves if serving and target == rung != serving]
        assert all(late - early >= RULES.return_interval_s for early, late in pairwise(climbs))


def test_a_stock_out_is_counted_from_when_it_is_told() -> None:
    rungs = judge_rungs((tried("a", "ClaimPending"), NEXT), sight("a", "ClaimPending"), moment(200))
    rungs = judge_rungs(rungs, sight("a"), moment(210))
    assert rungs[0].state is RungState.TRYING
    assert judge_rungs(rungs, sight("a"), moment(329))[0].state is RungState.TRYING
    assert judge_rungs(rungs, sight("a"), moment(330))[0].state is RungState.EXHAUSTED


@pytest.mark.parametrize("reason", ["QuotaExceeded", "ReservationNotFound", "InvalidRequest"])
def test_what_one_zone_refuses_another_may_have_for_a_slice(reason: str) -> None:
    by_zone = replace(sight("a", reason), by_zone=True)
    begun = judge_rungs((tried("a"), NEXT), by_zone, moment())
    assert begun[0].state is RungState.TRYING
    assert judge_rungs(begun, by_zone, moment(120))[0].state is RungState.EXHAUSTED
    assert judge_rungs((tried("a"), NEXT), replace(by_zone, zones=1), moment())[0].state is RungState.REFUSED
