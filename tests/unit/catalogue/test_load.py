"""The shipped catalogue is compiled, complete, and reachable by every name that it gives a model."""

import pytest

from mistral_operator.catalogue.compile import compile_catalogue, read_sources
from mistral_operator.catalogue.load import COMPILED, load_catalogue
from mistral_operator.catalogue.units import GIB


def test_compiled_file_is_up_to_date() -> None:
    message = "run python -m mistral_operator.catalogue.compile --write"
    assert COMPILED.read_text(encoding="utf-8") == compile_catalogue(), message


def test_every_file_becomes_an_entry() -> None:
    catalogue = load_catalogue()
    paths = {
        *(f"models/{name}.yaml" for name in (*catalogue.models, *catalogue.unserved)),
        *(f"accelerators/{name}.yaml" for name in catalogue.accelerators),
        *(f"engines/{name}.yaml" for name in catalogue.engines),
        "support.yaml",
    }
    assert paths == set(read_sources())


@pytest.mark.parametrize(
    ("name", "model", "variant"),
    [
        ("mistral-7b-v0.3", "mistral-7b-v0.3", ""),
        ("mistral-7b-instruct-v0.3", "mistral-7b-v0.3", ""),
        ("mistralai/mistral-7b-instruct-v0.3", "mistral-7b-v0.3", "instruct"),
        ("mistralai/mistral-7b-v0.3", "mistral-7b-v0.3", "base"),
        ("mistralai/mistral-small-3.2-24b-instruct-2506", "mistral-small-3.2-24b-2506", "instruct"),
        ("mixtral-8x7b-instruct", "mixtral-8x7b", ""),
    ],
)
def test_models_are_found_by_every_name(name: str, model: str, variant: str) -> None:
    assert load_catalogue().model_names[name] == (model, variant)


def test_machines_are_found_by_type() -> None:
    found = load_catalogue().machine("a2-ultragpu-2g")
    assert found is not None
    accelerator, shape = found
    assert (accelerator.id, shape.devices, shape.memory_gib) == ("a100-80", 2, 340)
    assert load_catalogue().machine("n1-standard-4") is None


def test_usable_memory_is_less_than_the_name_says() -> None:
    for accelerator in load_catalogue().accelerators.values():
        assert accelerator.usable_bytes < accelerator.memory_gib * GIB
        assert "usable_memory_gib" in accelerator.provenance.unverified


def test_nothing_is_called_verified_before_it_was_run() -> None:
    assert [rule for rule in load_catalogue().support.rules if rule.tier == "verified"] == []


def test_every_price_has_a_date_and_a_source() -> None:
    for accelerator in load_catalogue().accelerators.values():
        assert accelerator.price.date
        assert accelerator.price.source
        for shape in accelerator.machines:
            assert shape.consumption, shape.machine_type
            assert all(price > 0 for price in shape.prices.values()), shape.machine_type
            assert shape.total_devices == shape.devices * shape.hosts
