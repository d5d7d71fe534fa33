"""The catalogue is extended while the operator runs: what was refused is planned, what is planned stays as it is."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.light_stack import light_stack
from tests.support.mounted_config_map import BROKEN, EXAMPLE_FILES, OWN_MODEL, OWN_PRICE, mount
from tests.support.polling import eventually
from tests.support.stack import Stack

BUILT_IN = "mistral-7b-v0.3"
FAULT = "The operator's extension of the catalogue is not valid: model.broken.yaml: context is missing"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where the operator looks; the ConfigMap is not there yet."""
    return tmp_path / "catalogue"


@pytest.fixture
async def stack(tmp_path: Path, directory: Path) -> AsyncIterator[Stack]:
    """An operator that is told of the directory, ready to be started."""
    mount(directory, {})
    async with light_stack(tmp_path / "sandbox") as (stack, _):
        stack.operator.args = ("--catalogue-directory", str(directory))
        yield stack


async def test_a_model_that_was_refused_is_planned_once_the_catalogue_has_it(stack: Stack, directory: Path) -> None:
    stack.operator.start()
    await stack.apply("support", model=OWN_MODEL)
    refused = await stack.expect("support", "Accepted", "False", "UnknownModel")
    assert "extension" not in refused["message"]
    mount(directory, BROKEN)
    await eventually(lambda: _says(stack, "support", FAULT), 60, stack.story)
    assert FAULT.rpartition(": model")[2] in stack.operator.log(500)
    mount(directory, EXAMPLE_FILES)
    await stack.expect_ready("support")
    assert await _prices(stack, "support") == (OWN_PRICE, "from the operator's settings")


async def test_plans_keep_their_prices_and_outlive_the_extension(stack: Stack, directory: Path) -> None:
    stack.operator.start()
    await stack.apply("chat", model=BUILT_IN)
    await stack.expect_ready("chat")
    before = await _templates(stack)
    listed, note = await _prices(stack, "chat")
    assert (listed, note) == ("0.8536", "list price of us-central1 on 2026-08-03")
    await stack.apply("support", model=OWN_MODEL)
    mount(directory, EXAMPLE_FILES)
    await stack.expect_ready("support")
    await stack.apply("fresh", model=BUILT_IN)
    await stack.expect_ready("fresh")
    assert (await _prices(stack, "fresh"))[0] == OWN_PRICE
    assert await _prices(stack, "chat") == (listed, note)

    await stack.operator.stop()
    mount(directory, BROKEN)
    stack.operator.start()
    await stack.scale("support", 2)
    await stack.expect_ready("support", 2)
    assert (await stack.condition("support", "Accepted"))["status"] == "True"
    assert (await _templates(stack)).items() >= before.items()
    await stack.apply("another", model=BUILT_IN)
    await stack.expect_ready("another")
    assert await _prices(stack, "another") == (listed, note)


async def _says(stack: Stack, name: str, words: str) -> bool:
    return words in (await stack.condition(name, "Accepted"))["message"]


async def _prices(stack: Stack, name: str) -> tuple[str, str]:
    """What one replica costs an hour, and whose price that is, up to the first bracket."""
    chosen = (await stack.get(name))["status"]["plan"]["chosen"]
    return chosen["hourlyCost"], chosen["priceNote"].partition(" (")[0]


async def _templates(stack: Stack) -> dict[str, dict[str, Any]]:
    return {item["metadata"]["name"]: item["spec"]["template"] for item in await stack.children("Deployment")}
