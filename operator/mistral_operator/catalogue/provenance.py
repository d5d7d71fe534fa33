"""The sources of a catalogue file, and which of its fields no source confirms."""

from mistral_operator.catalogue.reader import Reader
from mistral_operator.catalogue.types import Provenance


def read_provenance(reader: Reader) -> Provenance:
    sources = reader.inner("sources")
    return Provenance(
        sources={name: sources.text(name) for name in sources.keys()},  # noqa: SIM118
        unverified=reader.texts("unverified"),
    )
