"""The sources of a catalogue file, and which of its fields no source confirms."""

from collections.abc import Mapping
from dataclasses import dataclass

from mistral_operator.catalogue.reader import Reader


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where an entry's facts come from."""

    sources: Mapping[str, str]
    """Field or group of fields → source."""
    unverified: tuple[str, ...]
    """Fields that no source confirms; a group's name stands for all its fields."""


def read_provenance(reader: Reader) -> Provenance:
    sources = reader.inner("sources")
    return Provenance(
        sources={name: sources.text(name) for name in sources.keys()},  # noqa: SIM118
        unverified=reader.texts("unverified"),
    )
