"""Reading of untyped data with errors that name the place: `models/x.yaml: architecture.layers: …`."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, TypeVar

T = TypeVar("T")
D = TypeVar("D")

MOST: Final = 10**8
MOST_PARAMETERS: Final = 10**14
"""No count is larger, so that what is computed with it stays a number that a status holds."""
_DECIMAL: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
_SHOWN: Final = 100
"""Characters of a wrong value that an error shows."""


class CatalogueError(ValueError):
    """The catalogue's data is wrong; the message names the file, the field and what was expected."""


class Reader:
    """One mapping of the data. Keys that nobody has read by `done` are errors: they are most likely misspelt."""

    def __init__(self, data: object, where: str) -> None:
        self._where = where
        if not isinstance(data, Mapping):
            raise self.error("", "a mapping", data)
        strange = next((key for key in data if not isinstance(key, str)), None)
        if strange is not None:
            raise self.error("", "texts as keys, in quotes", strange)
        self._data: Mapping[str, Any] = data
        self._read: set[str] = set()

    def error(self, key: str, expected: str, found: object) -> CatalogueError:
        """Say that something else was expected at `key`."""
        place = ": ".join(part for part in (self._where, key) if part)
        shown = repr(found)
        shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
        return CatalogueError(f"{place}: expected {expected}, found {shown}")

    def done(self) -> None:
        """Check that every key was read."""
        unknown = sorted(set(self._data) - self._read)
        if unknown:
            raise CatalogueError(f"{self._where}: unknown key {', '.join(unknown)}")

    def has(self, key: str) -> bool:
        """True when the key is there and not null."""
        self._read.add(key)
        return self._data.get(key) is not None

    def optional(self, read: Callable[[str], T], key: str, default: D) -> T | D:
        """Return what `read` makes of the key, or the default where it isn't there or is null."""
        return read(key) if self.has(key) else default

    def text(self, key: str) -> str:
        """Return a non-empty string."""
        value = self._value(key)
        if not isinstance(value, str) or not value:
            raise self.error(key, "a text in quotes", value)
        return value

    def one_of(self, key: str, choices: tuple[str, ...]) -> str:
        """Return one of the given strings."""
        value = self.text(key)
        if value not in choices:
            raise self.error(key, f"one of {', '.join(choices)}", value)
        return value

    def whole(self, key: str, least: int = 1, most: int = MOST) -> int:
        """Return a whole number from `least` to `most`."""
        value = self._value(key)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.error(key, f"a whole number from {least} to {most}", value)
        return value

    def decimal(self, key: str) -> Decimal:
        """Return an exact number that is not negative, written as a string: at most 9 digits and 6 places."""
        value = self._value(key)
        if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
            raise self.error(key, "a decimal number in quotes", value)
        return Decimal(value)

    def share(self, key: str) -> Fraction:
        """Return a part of one, written as a fraction, such as `1/8`."""
        value = self._value(key)
        numbers = value.split("/") if isinstance(value, str) else []
        if len(numbers) != 2 or not all(is_count(number) for number in numbers) or not int(numbers[1]):
            raise self.error(key, "a fraction, such as '1/8'", value)
        result = Fraction(int(numbers[0]), int(numbers[1]))
        if not 0 < result <= 1:
            raise self.error(key, "a fraction above 0 and at most 1", value)
        return result

    def flag(self, key: str) -> bool:
        """Return true or false."""
        value = self._value(key)
        if not isinstance(value, bool):
            raise self.error(key, "true or false", value)
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings."""
        value = self._value(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(key, "a list of texts", value)
        return tuple(value)

    def inner(self, key: str) -> "Reader":
        """Return a reader of the mapping at `key`."""
        return Reader(self._value(key), f"{self._where}: {key}")

    def items(self, key: str) -> "tuple[Reader, ...]":
        """Return readers of the mappings in the list at `key`."""
        value = self._value(key)
        if not isinstance(value, list):
            raise self.error(key, "a list", value)
        return tuple(Reader(item, f"{self._where}: {key}[{index}]") for index, item in enumerate(value))

    def keys(self) -> tuple[str, ...]:
        """Return all keys, for a mapping whose keys are data."""
        return tuple(self._data)

    def _value(self, key: str) -> Any:
        self._read.add(key)
        if key not in self._data:
            raise CatalogueError(f"{self._where}: {key} is missing")
        return self._data[key]


def is_count(text: str) -> bool:
    """True for a whole number of at most nine digits."""
    return text.isdecimal() and len(text) <= 9
