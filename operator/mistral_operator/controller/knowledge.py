"""What planning knows beside the cluster: the catalogue with its extension, and the settings with its prices.

The extension is a directory that may change while the operator runs, as a mounted ConfigMap does. A faulty one changes
nothing: what was known before stays, and the fault is told.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from mistral_operator.catalogue.extend import Extended
from mistral_operator.catalogue.load import list_extension, load_catalogue, load_extended
from mistral_operator.catalogue.reader import CatalogueError
from mistral_operator.catalogue.types import Catalogue
from mistral_operator.planning.estimate import override_prices
from mistral_operator.planning.types import Settings

_MOST_CHARACTERS: Final = 500
"""Of a fault, which goes into conditions."""

log = logging.getLogger(__name__)

Signature = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a look at the directory found."""

    signature: Signature
    content: Extended | None
    fault: str = ""


class Knowledge:
    """The current catalogue and settings; a refresh looks whether the extension has changed."""

    def __init__(self, settings: Settings, directory: Path | None, tell_valid: Callable[[bool], None]) -> None:
        """`tell_valid` is told whether the extension could be read, at the start and after each change."""
        self._given = settings
        self._directory = directory
        self._tell_valid = tell_valid
        self._signature: Signature | None = None
        self.catalogue: Catalogue = load_catalogue()
        self.settings = settings
        self.refresh()

    def refresh(self) -> bool:
        """Read the extension again if its files are others than before; True when anything is known differently."""
        return self._take(self._read())

    async def refresh_aside(self) -> bool:
        """The same, with the reading in a thread: a large file takes longer than the Lease allows to stand still.

        Catalogue and settings change together, with nothing in between.
        """
        return self._take(await asyncio.to_thread(self._read))

    def _read(self) -> _Reading | None:
        """What is there now; None when it is what was there before."""
        signature = _sign(self._directory)
        if signature == self._signature:
            return None
        try:
            return _Reading(signature, load_extended(self._directory))
        except CatalogueError as error:
            # Swapped in between, the files were none of one moment; the next look sees them whole.
            return (
                _Reading(signature, None, str(error)[:_MOST_CHARACTERS])
                if signature == _sign(self._directory)
                else None
            )

    def _take(self, reading: _Reading | None) -> bool:
        if reading is None:
            return False
        self._signature = reading.signature
        before = (self.catalogue, self.settings)
        if reading.content:
            self.catalogue = reading.content.catalogue
            self.settings = override_prices(self._given, reading.content.prices)
        else:
            log.error("The extension of the catalogue is not valid; what was known before stays: %s", reading.fault)
            self.catalogue = replace(self.catalogue, fault=reading.fault)
        self._tell_valid(not reading.fault)
        return (self.catalogue, self.settings) != before


def _sign(directory: Path | None) -> Signature:
    """Paths, sizes and times of the files, as cheap to find out as can be; empty where there are none."""
    if directory is None:
        return ()
    try:
        stats = [(str(path), path.stat()) for path in list_extension(directory)]
    except OSError as error:
        return ((str(error), 0, 0),)  # Reading will say the same.
    return tuple((path, stat.st_size, stat.st_ctime_ns) for path, stat in stats)
