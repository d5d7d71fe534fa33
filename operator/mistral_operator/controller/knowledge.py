"""What planning knows beside the cluster: the catalogue with its extension, and the settings with its prices.

The extension is a directory that may change while the operator runs, as a mounted ConfigMap does. A faulty one changes
nothing: what was known before stays, and the fault is told.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mistral_operator.catalogue.extend import Extended
from mistral_operator.catalogue.load import load_catalogue, load_extended
from mistral_operator.catalogue.reader import CatalogueError
from mistral_operator.catalogue.types import Catalogue
from mistral_operator.planning.types import Settings

log = logging.getLogger(__name__)

Signature = tuple[tuple[str, int, int], ...]


class Knowledge:
    """The current catalogue and settings; `refresh` looks whether the extension has changed."""

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
        signature = _sign(self._directory)
        if signature == self._signature:
            return False
        self._signature = signature
        before = (self.catalogue, self.settings)
        try:
            self._take(load_extended(self._directory))
        except CatalogueError as error:
            log.error("The extension of the catalogue is not valid, and what was known before stays: %s", error)
            self.catalogue = replace(self.catalogue, fault=str(error))
        self._tell_valid(not self.catalogue.fault)
        return (self.catalogue, self.settings) != before

    def _take(self, extended: Extended) -> None:
        self.catalogue = extended.catalogue
        prices = extended.prices
        merged = {**self._given.prices, **prices.machines}
        self.settings = replace(self._given, prices=merged, price_note=prices.note or self._given.price_note)


def _sign(directory: Path | None) -> Signature:
    """Names, sizes and times of the files, as cheap to find out as can be; empty where there is no directory."""
    if directory is None or not directory.is_dir():
        return ()
    try:
        stats = [(path.name, path.stat()) for path in sorted(directory.glob("*.yaml"))]
    except OSError:  # A ConfigMap's files are swapped just now; the next look sees the new ones.
        return ()
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
