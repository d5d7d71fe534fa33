"""Bounded reading of a checkpoint's configuration: every fault names its key, and nothing in it is trusted."""

from collections.abc import Mapping
from typing import Final

MOST: Final = 1 << 24
"""No dimension of a model is larger."""
_LONGEST_QUOTE: Final = 40
_MOST_TOLD: Final = 10**15


class KeyFaultError(Exception):
    """Why a configuration can't be planned; the message names the key."""


class Keys:
    """One mapping of a configuration, with its place in the whole."""

    def __init__(self, data: Mapping[object, object], place: str = "") -> None:
        self._data = data
        self._place = place

    def fault(self, key: str, words: str) -> KeyFaultError:
        """Say what is wrong with a key."""
        return KeyFaultError(f"{self._place}{key} {words}")

    def has(self, key: str) -> bool:
        """True when the key is there and not null."""
        return self._data.get(key) is not None

    def whole(self, *names: str, default: int | None = None, least: int = 1) -> int:
        """Return the first of these keys that is there, a whole number in bounds, or the default."""
        key = next((name for name in names if self.has(name)), names[0])
        value = self._data.get(key)
        if value is None:
            if default is None:
                raise self.fault(key, "is missing")
            return default
        # A bool is an int to Python.
        if type(value) is not int or not least <= value <= MOST:
            raise self.fault(key, f"is {quote(value)}; expected a whole number from {least} to {MOST:,}")
        return value

    def text(self, key: str) -> str:
        """Return a text, empty where the key isn't there."""
        value = self._data.get(key)
        if value is not None and not isinstance(value, str):
            raise self.fault(key, f"is {quote(value)}; expected a text")
        return value or ""

    def flag(self, key: str) -> bool | None:
        """Return true or false, None where the key isn't there."""
        value = self._data.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.fault(key, f"is {quote(value)}; expected true or false")
        return value

    def part(self, key: str) -> "Keys | None":
        """Return the mapping at the key, None where it isn't there or is empty."""
        value = self._data.get(key)
        if value is not None and not isinstance(value, Mapping):
            raise self.fault(key, f"is {quote(value)}; expected a mapping")
        return Keys(value, f"{self._place}{key}.") if value else None

    def parts(self, key: str) -> "list[Keys]":
        """Return the mappings inside the mapping at the key."""
        inside = self.part(key)
        found = [inside.part(name) for name in inside._data if isinstance(name, str)] if inside else []
        return [part for part in found if part]

    def items(self, key: str) -> list[object] | None:
        """Return the list at the key, None where there is none."""
        value = self._data.get(key)
        return value if isinstance(value, list) else None


def quote(value: object) -> str:
    """A value of any size in a few characters."""
    if isinstance(value, str):
        return repr(value[:_LONGEST_QUOTE])
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _MOST_TOLD:
        return "a number beyond all bounds"
    if isinstance(value, Mapping | list):
        return "a mapping" if isinstance(value, Mapping) else "a list"
    return str(value)
