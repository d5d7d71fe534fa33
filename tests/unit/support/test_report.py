"""What the benchmark makes of its measurements."""

import statistics

import pytest
from tests.bench.report import pair_ratios, percentile


def test_each_run_is_compared_with_the_ones_before_and_after_it() -> None:
    ratios = pair_ratios([87.0, 40.0], [43.5, 87.0, 20.0])
    assert ratios == pytest.approx([40 / 87, 1.0, 2.0, 2.0])
    assert statistics.median(ratios) == pytest.approx(1.5)


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([3.0, 1.0, 2.0], 0.99) == 3.0
