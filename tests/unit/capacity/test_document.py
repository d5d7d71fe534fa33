"""docs/capacity.md has every refusal of the cloud, and the waits that the code keeps."""

import re
from pathlib import Path

import pytest

from mistral_operator.capacity.claims.case import MOST_NODES
from mistral_operator.capacity.errors import CloudError
from mistral_operator.capacity.provisioners.cloud import _BACKOFF_S, _OTHER_BACKOFF_S, CloudPace

DOCUMENT = (Path(__file__).parents[3] / "docs" / "capacity.md").read_text()
REASONS = sorted(error.reason for error in CloudError.__subclasses__())
UNITS_S = {"s": 1, "minutes": 60}
SHORTEST = 0.5
"""Each wait is between this share of it and the whole."""


def _row(reason: str) -> str:
    rows = (line for line in DOCUMENT.splitlines() if line.startswith("|") and f"`{reason}`" in line.split("|")[1])
    return next(rows, "")


def test_all_refusals_are_there() -> None:
    assert len(REASONS) > 10
    assert [reason for reason in REASONS if not _row(reason)] == []


@pytest.mark.parametrize("reason", REASONS)
def test_the_waits_are_those_of_the_code(reason: str) -> None:
    told = re.search(r"after ([\d.]+) to ([\d.]+) (s|minutes)", _row(reason))
    assert told
    first_s, longest_s = _BACKOFF_S.get(reason, _OTHER_BACKOFF_S)
    shortest, longest, unit = told.groups()
    assert (float(shortest) * UNITS_S[unit], float(longest) * UNITS_S[unit]) == (SHORTEST * first_s, longest_s)


def test_other_numbers_are_those_of_the_code() -> None:
    assert f"never above {MOST_NODES:,} nodes" in DOCUMENT
    assert f"good for {CloudPace().list_interval_s:.0f} s" in DOCUMENT
    assert f"({CloudPace().max_operations} at most)" in DOCUMENT
    assert f"{CloudPace().unheard_s:.0f} s after the last create" in DOCUMENT
