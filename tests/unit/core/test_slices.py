"""What slices cost that are only waiting to be deleted."""

from decimal import Decimal
from typing import Any

import pytest
from tests.support.world import SETTINGS

from mistral_operator.api.names import CLAIM_LABEL
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.core.slices import price_unnamed
from mistral_operator.manifests.slices import SLICES_ANNOTATION

CATALOGUE = load_catalogue()
GROUP = "ct6e-standard-4t-od-abcdef"


def slice_of(group: str, machine_type: str = "ct6e-standard-4t", consumption: str = "OnDemand") -> dict[str, Any]:
    shape = {"machineType": machine_type, "hosts": 4}
    return {"spec": {"shape": shape, "consumption": consumption, "slice": {"group": group, "number": 0}}}


def revision_of(group: str, numbers: str = "0") -> dict[str, Any]:
    metadata = {"labels": {CLAIM_LABEL: group}, "annotations": {SLICES_ANNOTATION: numbers} if numbers else {}}
    return {"kind": "ControllerRevision", "metadata": metadata}


def price_of(machine_type: str, consumption: str) -> Decimal:
    found = CATALOGUE.machine(machine_type)
    assert found is not None
    return found[1].prices[consumption]


@pytest.mark.parametrize("consumption", ["OnDemand", "Spot"])
def test_a_slice_costs_all_its_hosts_by_the_way_it_was_bought(consumption: str) -> None:
    claims = [slice_of(GROUP, consumption=consumption), slice_of("another", consumption=consumption)]
    price = price_of("ct6e-standard-4t", consumption)
    assert price_unnamed(claims, [], CATALOGUE, SETTINGS) == price * 8
    assert price_unnamed(claims, [revision_of("another")], CATALOGUE, SETTINGS) == price * 4


@pytest.mark.parametrize("numbers", ["0", "1,2", ""])
def test_slices_of_a_revision_that_is_there_are_counted_with_it(numbers: str) -> None:
    assert price_unnamed([slice_of(GROUP)], [revision_of(GROUP, numbers)], CATALOGUE, SETTINGS) == 0


def test_what_has_no_price_and_shared_pools_count_nothing() -> None:
    shared = {"spec": {"shape": {"machineType": "g2-standard-8"}, "consumption": "OnDemand"}}
    assert price_unnamed([slice_of(GROUP, "ct9z-standard-4t"), shared], [], CATALOGUE, SETTINGS) == 0
