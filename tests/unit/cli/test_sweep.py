"""`sweep` on the command line: what may be written together, and how it tells what it found."""

import json
from dataclasses import replace
from decimal import Decimal

import click
import pytest
from click.testing import CliRunner
from tests.support.claim_cases import POOL, a_claim, pool_of

from mistral_operator.api.names import CLUSTER_RESOURCE_LABEL
from mistral_operator.capacity.advice import ClusterPlace
from mistral_operator.capacity.errors import classify
from mistral_operator.capacity.orphans import Orphan, judge_orphan
from mistral_operator.capacity.pools import NodeFacts, pool_spec
from mistral_operator.capacity.port import PoolView
from mistral_operator.cli.main import main
from mistral_operator.cli.sweep_view import Sweep, tell_orphans, tell_swept, write_sweep
from mistral_operator.controller.sweeper import Swept

PLACE = ClusterPlace("team-project", "us-central1", "serving", uid="uid")
MADE = pool_of(pool_spec(a_claim(), total_max=2, facts=NodeFacts(), cluster_uid="uid"))
STRANGE = replace(MADE, resource_labels={**MADE.resource_labels, CLUSTER_RESOURCE_LABEL: "another"})


def orphan(nodes: int = 0, price: str | None = "0.5", pool: PoolView = MADE) -> Orphan:
    node_price = None if price is None else Decimal(price)
    return judge_orphan(pool, nodes=nodes, cluster_uid="uid", node_price=node_price)


def text(*orphans: Orphan, deletes: bool = False) -> str:
    return unwrapped(tell_orphans(Sweep(PLACE, orphans), deletes=deletes))


def unwrapped(lines: list[str]) -> str:
    """Without styles and without the line breaks of a narrow terminal."""
    return " ".join(click.unstyle(" ".join(lines)).split())


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--dry-run", "--delete"], "write one of them"),
        (["--with-nodes"], "are for --delete"),
        (["--yes"], "are for --delete"),
        (["--delete", "-o", "json"], "add --yes"),
    ],
)
def test_what_contradicts_itself_is_refused_before_anything_is_asked(args: list[str], words: str) -> None:
    result = CliRunner().invoke(main, ["sweep", *args])
    assert result.exit_code == 2
    assert words in result.output


def test_nothing_found_is_said_in_a_line() -> None:
    assert text() == "No node pool of cluster serving in us-central1 of project team-project has lost its claim."


def test_a_list_says_what_it_costs_and_how_to_be_rid_of_it() -> None:
    told = text(orphan(), orphan(nodes=3), orphan(nodes=1, price=None))
    assert "g2-standard-12, OnDemand" in told
    assert " 3 1.50 RUNNING HasNodes" in told
    assert " 1 unknown " in told
    assert "Nothing was deleted. `mistral-operator sweep --delete` deletes those that are Unused." in told
    assert "--with-nodes also deletes those with nodes" in told


def test_only_what_would_help_is_advised() -> None:
    told = text(orphan(pool=STRANGE))
    assert "NotProven" in told
    assert "sweep --delete" not in told
    assert "gcloud container node-pools delete POOL --cluster serving" in told
    assert "Nothing was deleted" not in text(orphan(), deletes=True)


def test_a_refusal_is_quoted_with_advice_and_kept_is_never_called_deleted() -> None:
    finding = classify("PERMISSION_DENIED", 'Required "container.clusters.update" permission(s).').finding
    told = unwrapped(tell_swept(Swept(POOL, deleted=False, finding=finding), PLACE))
    assert "kept" in told
    assert 'PermissionDenied. GKE says: "Required "container.clusters.update" permission(s)."' in told
    assert "gcloud projects add-iam-policy-binding team-project" in told
    assert unwrapped(tell_swept(Swept(POOL, deleted=True), PLACE)) == f"deleted {POOL}"


@pytest.mark.parametrize("command", ["sweep", "run"])
def test_an_address_that_is_none_is_refused_with_what_to_write(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--container-api", "localhost:1"])
    assert result.exit_code == 2
    assert "'localhost:1' is no such address; write http://HOST:PORT, or leave it out for Google's" in result.output


def test_an_end_that_cannot_be_read_is_told_with_what_was_begun_and_why() -> None:
    finding = classify("PERMISSION_DENIED", 'Required "container.operations.get" permission(s).').finding
    swept = Swept(POOL, deleted=False, finding=finding, kept="GKE began to delete it (operation o)")
    assert "GKE began to delete it (operation o). PermissionDenied. GKE says:" in unwrapped(tell_swept(swept, PLACE))


def test_data_has_the_same() -> None:
    swept = (Swept(POOL, deleted=False, kept="it has a claim now, or is gone"),)
    document = json.loads(write_sweep("json", Sweep(PLACE, (orphan(nodes=2),), swept)))
    assert document["cluster"] == {"project": "team-project", "location": "us-central1", "name": "serving"}
    (pool,) = document["orphanedPools"]
    assert (pool["nodes"], pool["hourlyCost"], pool["reason"], pool["consumption"]) == (
        2,
        "1.0",
        "HasNodes",
        "OnDemand",
    )
    assert (pool["deleted"], pool["keptBecause"]) == (False, "it has a claim now, or is gone")
    listed = json.loads(write_sweep("json", Sweep(PLACE, (orphan(price=None),))))["orphanedPools"][0]
    assert listed["hourlyCost"] == "0"
    assert "deleted" not in listed
