"""Whatever is taken and given back, no more runs than there is, and in the end everything is there again."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.simulated_gke import Gke, Start, fixed_pool

from mistral_operator.sandbox.gke.machines import is_at_least, machine_types
from mistral_operator.sandbox.gke.reservations import Consume
from mistral_operator.sandbox.gke.scenario import Quota, Reservation, Stock
from mistral_operator.sandbox.gke.stock import Want, Warehouse

ZONES = ("us-central1-a", "us-central1-b")
MACHINE = machine_types()["g2-standard-24"]
STOCK, LIMIT, RESERVED, OPEN, ALL = 5, 8, 3, 2, 14

wants = st.builds(
    Want,
    zone=st.sampled_from(ZONES),
    machine=st.just(MACHINE),
    mode=st.sampled_from(["on-demand", "spot", "flex-start"]),
    consume=st.sampled_from(list(Consume)),
    reservation=st.sampled_from(["mine", "open", "nobodys"]),
)
steps = st.lists(st.one_of(st.lists(wants, min_size=1, max_size=4), st.integers(0, 20)), max_size=40)


def warehouse() -> Warehouse:
    shape = {"machine_type": MACHINE.name, "zone": ZONES[0]}
    reservations = [
        Reservation("mine", count=RESERVED, **shape),
        Reservation("open", count=OPEN + 1, in_use=1, specific=False, **shape),
    ]
    return Warehouse("p", [Stock(STOCK)], [Quota(LIMIT)], reservations, ALL)


def free_everywhere(there: Warehouse) -> list[int]:
    modes = ("on-demand", "spot", "flex-start")
    return [there.free(Want(zone, MACHINE, mode, Consume.ANY)) for zone in ZONES for mode in modes]


@settings(max_examples=150, deadline=None)
@given(steps)
def test_nothing_is_given_twice_or_lost(taken_and_given: list[list[Want] | int]) -> None:
    there, out = warehouse(), list[Want]()
    at_first = free_everywhere(there)
    for step in taken_and_given:
        if isinstance(step, list):
            before = len(out), free_everywhere(there)
            answer = there.take_all(step)
            if isinstance(answer, tuple):
                assert (len(out), free_everywhere(there)) == before, "all or nothing"
            else:
                out.extend(answer)
        elif out:
            there.give_back(out.pop(step % len(out)))
        held = [want.held.name for want in out if want.held]
        assert (held.count("mine") <= RESERVED, held.count("open") <= OPEN) == (True, True)
        bought = [want for want in out if not want.held]
        assert all(want.consume in (Consume.NONE, Consume.ANY) for want in bought)
        for zone in ZONES:
            for mode in ("on-demand", "spot", "flex-start"):
                assert sum((want.zone, want.mode) == (zone, mode) for want in bought) <= STOCK
        for preemptible in (True, False):
            assert sum(MACHINE.gpus for want in bought if want.preemptible is preemptible) <= LIMIT
        assert there.gpus_used == MACHINE.gpus * len(bought) <= ALL
    for want in out:
        there.give_back(want)
    assert (free_everywhere(there), there.gpus_used) == (at_first, 0)


async def test_the_same_seed_names_the_same_machines(start: Start) -> None:
    async def names(seed: int) -> list[str]:
        gke: Gke = await start(seed=seed)
        await gke.done(await gke.create(**fixed_pool(3)))
        return gke.nodes_of()

    assert await names(1) == await names(1) != await names(2)


@pytest.mark.parametrize(
    ("version", "minimum", "expected"),
    [
        ("1.36.3-gke.1000000", "1.36.3-gke.1000000", True),
        ("1.36.3-gke.999999", "1.36.3-gke.1000000", False),
        ("1.9.0-gke.1", "1.10.0-gke.1", False),
        ("1.35.0-gke.1", "1.35", True),
        ("1.34.9-gke.9", "1.35", False),
        ("2.0.0", "1.99.9-gke.9", True),
    ],
)
def test_versions_are_compared_by_their_numbers(version: str, minimum: str, expected: bool) -> None:
    assert is_at_least(version, minimum) is expected
