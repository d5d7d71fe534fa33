"""Options with several values: however they are written, and what is said of one that isn't known."""

import click
import pytest
from click.testing import CliRunner

from mistral_operator.cli.lists import list_option
from mistral_operator.cli.main import main

FRUIT = ("apple", "pear", "plum")


@click.command(context_settings={"auto_envvar_prefix": "SHOP"})
@list_option("--fruit", known=FRUIT, default=["apple"])
@list_option("--zones")
def shop(fruit: tuple[str, ...], zones: tuple[str, ...]) -> None:
    click.echo(f"{fruit} {zones}")


def buy(*arguments: str, **environment: str) -> str:
    result = CliRunner().invoke(shop, arguments, env=environment)
    return result.output.strip()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--fruit", "pear,plum"],
        ["--fruit", "pear, plum"],
        ["--fruit=pear", "--fruit=plum"],
        ["--fruit", "pear,plum,", "--fruit", "pear"],
    ],
)
def test_commas_spaces_and_repeated_flags_are_the_same(arguments: list[str]) -> None:
    assert buy(*arguments) == "('pear', 'plum') ()"


@pytest.mark.parametrize("value", ["pear,plum", "pear, plum", "pear plum"])
def test_the_environment_takes_them_too(value: str) -> None:
    assert buy(SHOP_FRUIT=value) == "('pear', 'plum') ()"


def test_what_is_left_out_is_the_default() -> None:
    assert buy() == "('apple',) ()"
    assert buy("--zones", "") == "('apple',) ()"


@pytest.mark.parametrize(("value", "what"), [("pear,kiwi", "kiwi is not known"), ("", "nothing is named")])
def test_a_value_that_is_not_known_is_refused_with_those_that_are(value: str, what: str) -> None:
    told = " ".join(buy("--fruit", value).split())
    assert f"'--fruit': {what}; write one or more of apple, pear, plum, separated by commas" in told


@pytest.mark.parametrize(
    ("arguments", "known"),
    [
        (["run", "--provisioner", "ContainerAPI,Terraform"], "ContainerAPI, ComputeClass, ConfigConnector, Existing"),
        (["sandbox", "up", "--with", "lws,istio"], "lws"),
        (["run", "--slice-upgrades", "Never"], "OneByOne"),
        (["plan", "--all", "--accelerator", "l4,l5"], "l5 is not in the catalogue; write l4"),
    ],
)
def test_the_commands_name_what_they_know(arguments: list[str], known: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert known in " ".join(result.output.split())


def test_zones_and_accelerators_are_written_either_way() -> None:
    once = ["plan", "--all", "--location", "us-central1", "--zones", "a, b", "--accelerator", "l4, a100-80"]
    each = ["plan", "--all", "--location", "us-central1", "--zones", "a", "--zones", "b"]
    each += ["--accelerator", "l4", "--accelerator", "a100-80"]
    told = [CliRunner().invoke(main, arguments).output for arguments in (once, each)]
    assert told[0] == told[1]
    assert all(machine in told[0] for machine in ("g2-standard", "a2-ultragpu"))
