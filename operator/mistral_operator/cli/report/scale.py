"""Axes: where a value lies, as a share of the axis, and the round values that are written beside it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_ROUND: Final = (1, 2, 5)
_DIGITS: Final = (range(1, 10), (1, 2, 3, 5, 7), _ROUND, (1,))


@dataclass(frozen=True, slots=True)
class Linear:
    """From zero to `end`, which is above zero."""

    end: float
    ticks: tuple[float, ...]

    def share(self, value: float) -> float:
        """0 at the axis' start, 1 at its end."""
        return value / self.end


@dataclass(frozen=True, slots=True)
class Logarithmic:
    """From `start` to `end`, both above zero: equal factors are equally long."""

    start: float
    end: float
    ticks: tuple[float, ...]

    def share(self, value: float) -> float:
        """0 at the axis' start, 1 at its end."""
        return math.log(value / self.start) / math.log(self.end / self.start)


def linear(most: float, unit: float = 1, ticks: int = 5) -> Linear:
    """An axis that ends at `most`, with at most about `ticks` round steps in multiples of `unit`."""
    least = most / unit / ticks
    magnitude = 10.0 ** math.floor(math.log10(least))
    step = unit * magnitude * next((digit for digit in _ROUND if digit * magnitude >= least), 10)
    return Linear(most, tuple(step * index for index in range(math.floor(most / step) + 1)))


def logarithmic(values: Iterable[float], margin: float, ticks: int = 8) -> Logarithmic:
    """An axis that reaches a factor of `margin` beyond the values, with the finest round values that are not too many.

    `margin` is above 1, so that the axis has a length.
    """
    known = tuple(values)
    start, end = min(known) / margin, max(known) * margin
    powers = range(math.floor(math.log10(start)), math.ceil(math.log10(end)) + 1)
    finest: tuple[float, ...] = ()
    for digits in _DIGITS:
        finest = tuple(
            digit * 10.0**power for power in powers for digit in digits if start <= digit * 10.0**power <= end
        )
        if len(finest) <= ticks:
            break
    return Logarithmic(start, end, finest)
