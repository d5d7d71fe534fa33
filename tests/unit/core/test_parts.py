"""How replicas are divided among the options of a spread model."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from tests.support.world import make_model

from mistral_operator.api.capacity import Capacity, CapacityOption
from mistral_operator.api.model import MistralModel
from mistral_operator.api.scaling import Scaling
from mistral_operator.core.parts import Share, Stock, divide, find_shares, list_floors, view_part

most = st.integers(min_value=1, max_value=20)
counts = st.integers(min_value=0, max_value=60)


def a_model(floors: list[int], replicas: int, **capacity: str) -> MistralModel:
    options = [{"accelerator": "l4", "replicas": floor} for floor in floors]
    return MistralModel.model_validate(
        make_model(capacity={"options": [*options, {"accelerator": "l4"}], **capacity}, replicas=replicas)
    )


@given(replicas=counts, floors=st.lists(most, min_size=1, max_size=7))
def test_the_shares_add_up_and_earlier_parts_are_filled_first(replicas: int, floors: list[int]) -> None:
    shares = divide(replicas, [*floors, None])
    assert sum(shares) == replicas
    assert all(share <= floor for share, floor in zip(shares, floors, strict=False))
    for index, share in enumerate(shares[:-1]):
        assert share == floors[index] or not any(shares[index + 1 :]), "nothing comes later before this one is full"


@given(replicas=counts, more=st.integers(min_value=0, max_value=9), floors=st.lists(most, min_size=1, max_size=7))
def test_more_replicas_take_none_from_a_part(replicas: int, more: int, floors: list[int]) -> None:
    before, after = divide(replicas, [*floors, None]), divide(replicas + more, [*floors, None])
    assert all(one <= other for one, other in zip(before, after, strict=True))


def test_parts_end_with_the_first_option_that_takes_the_rest() -> None:
    assert list_floors([CapacityOption(replicas=2), CapacityOption(), CapacityOption()]) == (2, None)
    assert list_floors([CapacityOption(), CapacityOption(replicas=2)]) == ()
    assert list_floors([]) == ()


def test_a_part_that_can_get_a_replica_is_there_before_it_does() -> None:
    model = a_model([2], 2)
    assert find_shares(model, {}) == (Share(1, 2),)
    spec = model.spec.model_copy(update={"scaling": Scaling(max_replicas=3)})
    scaled = model.model_copy(update={"spec": spec})
    assert find_shares(scaled, {}) == (Share(1, 2), Share(2, 0))


stocks = st.builds(
    lambda asked, placed, ready: Stock(asked, min(placed, asked), min(ready, placed, asked), asked, Decimal("1.5")),
    st.integers(0, 8), st.integers(0, 8), st.integers(0, 8),
)  # fmt: skip


@given(
    floors=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    replicas=st.integers(0, 10),
    have=st.lists(stocks, min_size=5, max_size=5),
    limit=st.integers(0, 20),
    surge=st.integers(0, 4),
)
def test_all_parts_together_stay_within_the_limits_once_nothing_stands_above_its_share(
    floors: list[int], replicas: int, have: list[Stock], limit: int, surge: int
) -> None:
    """What each part may be asked for by its own view, with what stands now of the others."""
    model = a_model(floors, replicas, maxHourlyCost=str(limit), maxSurgeHourlyCost=str(surge))
    stock = {index + 1: each for index, each in enumerate(have) if each.asked}
    shares = find_shares(model, {part: Stock(price=each.price) for part, each in stock.items()})
    stock = {share.part: stock.get(share.part, Stock(price=Decimal("1.5"))) for share in shares}
    price = Decimal("1.5")
    for share in shares:
        view = view_part(model, model.spec.capacity or Capacity(), share, shares, stock, {})
        paid = max(0, int((Decimal(limit) - view.others_cost) / price))
        asked = min(view.spec.replicas, paid)
        others = sum(stock[other.part].standing for other in shares if other is not share)
        grows = asked > stock[share.part].standing
        assert not grows or (asked + others) * price <= limit + surge, "a part never grows beyond what is paid for"


def test_a_later_part_has_a_replica_more_unless_another_part_has_one_now() -> None:
    model = a_model([1], 2, maxSurgeHourlyCost="1.50")
    quiet = Stock(1, 1, 1, 1, Decimal("1.5"))

    def surge_taken(part: int, first: Stock, second: Stock = quiet) -> Decimal:
        stock = {1: first, 2: second}
        shares = find_shares(model, stock)
        return view_part(model, model.spec.capacity or Capacity(), shares[part - 1], shares, stock, {}).surge_taken

    assert surge_taken(2, quiet) == 0
    assert surge_taken(2, replace(quiet, surges=True)) == Decimal("1.5"), "it was just allowed to"
    assert surge_taken(2, replace(quiet, asked=2)) == Decimal("1.5"), "its successor is being started"
    assert surge_taken(2, replace(quiet, placed=2)) == Decimal("1.5"), "its predecessor is still there"
    assert surge_taken(1, quiet, replace(quiet, asked=2)) == Decimal("1.5"), "what a later part has begun goes on"
