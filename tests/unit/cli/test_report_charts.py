"""Axes, and colours that can be told apart."""

import re
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mistral_operator.cli.report
from mistral_operator.cli.report.scale import linear, logarithmic

STYLE = (Path(mistral_operator.cli.report.__file__).parent / "style.css").read_text(encoding="utf-8")
STACKED = ("blue", "orange", "brown", "teal", "pale")
"""In the order of a bar of memory; a bar of the start has other neighbours."""
NEIGHBOURS = (*pairwise(STACKED), ("pale", "teal"), ("teal", "blue"))

# Machado, Oliveira, Fernandes: A Physiologically-based Model for Simulation of Color Vision Deficiency (2009), in full.
BLIND = {
    "red": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "green": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "blue": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
TO_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
WHITE = (0.9505, 1.0, 1.089)
Triple = tuple[float, float, float]


def colors_of(scheme: str) -> dict[str, Triple]:
    """Variables of the style sheet → linear red, green and blue."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    block = blocks[("light", "dark").index(scheme)]
    return {name: _linear(code) for name, code in re.findall(r"--([a-z]+): #([0-9a-f]{6});", block)}


def _linear(code: str) -> Triple:
    shares = [int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return red, green, blue


def _times(matrix: tuple[Triple, Triple, Triple], color: Triple) -> Triple:
    first, second, third = (sum(a * b for a, b in zip(row, color, strict=True)) for row in matrix)
    return first, second, third


def contrast(one: Triple, other: Triple) -> float:
    """WCAG's ratio."""
    low, high = sorted(_times(TO_XYZ, color)[1] for color in (one, other))
    return (high + 0.05) / (low + 0.05)


def difference(one: Triple, other: Triple) -> float:
    """Distance in CIELAB: 1 is just visible."""
    return sum((a - b) ** 2 for a, b in zip(_lab(one), _lab(other), strict=True)) ** 0.5


def _lab(color: Triple) -> Triple:
    scaled = [value / white for value, white in zip(_times(TO_XYZ, color), WHITE, strict=True)]
    x, y, z = (value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116 for value in scaled)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_neighbours_in_a_bar_differ_without_any_colour(scheme: str) -> None:
    colors = colors_of(scheme)
    assert min(contrast(colors[one], colors[other]) for one, other in NEIGHBOURS) > 2
    assert min(contrast(colors[name], colors["card"]) for name in STACKED if name != "pale") > 3


@pytest.mark.parametrize("blind", BLIND)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_colour_blind_tell_all_parts_apart(scheme: str, blind: str) -> None:
    colors = colors_of(scheme)
    seen = {name: _clip(_times(BLIND[blind], colors[name])) for name in STACKED}
    nearest = min((difference(seen[one], seen[other]), one, other) for one, other in combinations(STACKED, 2))
    assert nearest[0] > 20, nearest


def _clip(color: Triple) -> Triple:
    red, green, blue = (min(1.0, max(0.0, value)) for value in color)
    return red, green, blue


@given(st.floats(min_value=0.01, max_value=1e6))
def test_a_linear_axis_has_a_few_round_steps_from_zero_on(most: float) -> None:
    axis = linear(most)
    assert 2 <= len(axis.ticks) <= 6
    assert axis.ticks[0] == 0
    assert axis.ticks[-1] <= most
    assert axis.share(most) == 1
    steps = {round(after - before, 9) for before, after in pairwise(axis.ticks)}
    assert len(steps) == 1
    assert f"{axis.ticks[1]:e}"[0] in "125"


@given(st.lists(st.floats(min_value=0.01, max_value=1e5), min_size=1, max_size=9), st.floats(1.25, 5))
def test_a_logarithmic_axis_holds_its_values_and_a_few_round_ones(values: list[float], margin: float) -> None:
    axis = logarithmic(values, margin)
    assert all(0 < axis.share(value) < 1 for value in values)
    assert all(0 <= axis.share(tick) <= 1 for tick in axis.ticks)
    assert len(axis.ticks) <= 9
    assert len(axis.ticks) >= 1 or margin**2 * max(values) / min(values) < 2
    assert axis.share(min(values)) == pytest.approx(1 - axis.share(max(values)))


def test_equal_factors_are_equally_long() -> None:
    axis = logarithmic([1, 100], 2)
    assert axis.share(10) - axis.share(1) == pytest.approx(axis.share(100) - axis.share(10))
