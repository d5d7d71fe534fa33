"""What the catalogue knows about a claim's nodes."""

from decimal import Decimal

from tests.support.claim_cases import a_claim

from mistral_operator.capacity.claims.node_facts import find_node_facts
from mistral_operator.catalogue.load import load_catalogue


def test_price_and_memory_come_from_the_catalogue() -> None:
    facts = find_node_facts(load_catalogue(), {}, a_claim(consumption="Spot"))
    assert facts.accelerator_memory_gib == 24
    assert facts.hourly_price is not None
    assert Decimal(0) < facts.hourly_price < Decimal(1)


def test_own_prices_come_first() -> None:
    prices = {"g2-standard-12": {"OnDemand": Decimal("0.5")}}
    assert find_node_facts(load_catalogue(), prices, a_claim()).hourly_price == Decimal("0.5")


def test_a_machine_type_that_is_gone_from_the_catalogue_has_no_price() -> None:
    claim = a_claim()
    spec = claim.spec.model_copy(update={"shape": claim.spec.shape.model_copy(update={"machine_type": "g9-x-1"})})
    assert find_node_facts(load_catalogue(), {}, claim.model_copy(update={"spec": spec})).hourly_price is None
