"""What published sources say runs, or needs at least, against the planner's own answers to the same questions."""

import pytest
from tests.support.asked import ANY, CATALOGUE, find_accelerator
from tests.support.sources import Scored, read_rows, score

SOURCES = ("recipes", "tpu-inference", "google", "mistral-docs", "upstream")
LEAST_AGREEMENT = 0.95


@pytest.fixture(scope="module")
def scored() -> list[Scored]:
    return [row for source in SOURCES for row in score(source)]


def test_the_planner_agrees_with_what_is_published(scored: list[Scored]) -> None:
    asked = [row for row in scored if row.agrees is not None]
    differing = [f"{row.source}: {row.name}: {row.answer}" for row in asked if not row.agrees]
    assert len(asked) >= 130
    assert len(differing) <= len(asked) * (1 - LEAST_AGREEMENT), "\n".join(differing)


def test_each_disagreement_is_explained_and_nothing_else_is(scored: list[Scored]) -> None:
    unexplained = [row.name for row in scored if row.agrees is False and not row.explained]
    stale = [row.name for row in scored if row.agrees is not False and row.explained]
    assert (unexplained, stale) == ([], [])


def test_a_row_that_is_not_asked_says_why(scored: list[Scored]) -> None:
    silent = [row for row in scored if row.agrees is None]
    assert silent
    assert all(len(row.answer) > 10 for row in silent)


def test_every_row_is_about_something_known() -> None:
    rows = [row for source in SOURCES for row in read_rows(source)]
    names = [row["id"] for row in rows if "id" in row]
    assert len(names) == len(set(names))
    for row in rows:
        if not row.get("not_asked"):
            assert row["model"] in CATALOGUE.models
            known = "minimum_gb" in row or "memory_gb" in row or row["accelerator"] == ANY
            assert known or find_accelerator(row["accelerator"]).memory_gib


def test_the_documented_minimums_are_the_catalogues() -> None:
    """The table of the test and the catalogue were written apart."""
    for row in read_rows("mistral-docs"):
        if row["model"] in CATALOGUE.models and not {"context", "id"} & set(row):
            name = {"nvfp4": "fp4"}.get(row["precision"], row["precision"])
            known = CATALOGUE.models[row["model"]].documented_memory_gb.get(name)
            assert known in (row["minimum_gb"], None), row
