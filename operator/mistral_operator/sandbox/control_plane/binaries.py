"""Where the control plane's binaries come from: the first of four sources that has them all.

1. `KUBEBUILDER_ASSETS`; 2. the user's cache; 3. the projects' official releases, checksums verified; 4. built by Go.
The last two fill the cache.
"""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mistral_operator.sandbox.programs.cache import (
    Say,
    Target,
    cache_root,
    fill_once,
    missing_programs,
    this_machine,
)
from mistral_operator.sandbox.programs.download import DownloadError
from mistral_operator.sandbox.programs.golang import BuildError

from .build import build_all
from .download import OFFICIAL, ReleaseSites, download_all
from .versions import ETCD_VERSION, KUBERNETES_VERSION, NAMES


class BinariesMissingError(Exception):
    """No source had the binaries; the message says why for each."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """A directory that holds all of `NAMES`, executable."""

    directory: Path

    @property
    def kubectl(self) -> Path:
        return self.directory / "kubectl"


def find_binaries(say: Say, sites: ReleaseSites = OFFICIAL) -> Binaries:
    """The binaries, made if need be (minutes, once). `say` gets progress lines. Raises BinariesMissingError."""
    if assets := os.environ.get("KUBEBUILDER_ASSETS"):
        if not (missing := missing_programs(Path(assets), NAMES)):
            return Binaries(Path(assets))
        say(f"KUBEBUILDER_ASSETS={assets} lacks {', '.join(missing)}: looking elsewhere")
    target = this_machine()
    directory = cache_directory(target)
    obtain = partial(_obtain, target=target, say=say, sites=sites)
    fill_once(directory, lambda place: not missing_programs(place, NAMES), obtain, "the control plane", say)
    return Binaries(directory)


def cache_directory(target: Target) -> Path:
    """Where the binaries of these versions are kept for this user."""
    name = f"{KUBERNETES_VERSION}-etcd-{ETCD_VERSION}-{target.os}-{target.arch}"
    return cache_root() / "control-plane" / name


def _obtain(work: Path, target: Target, say: Say, sites: ReleaseSites) -> None:
    try:
        download_all(work, target, say, sites)
        return
    except DownloadError as error:
        refused = error
        say(f"no official binaries: {error}")
    try:
        build_all(work, say)
    except BuildError as error:
        raise BinariesMissingError(
            f"the control plane ({', '.join(NAMES)}) can be had from nowhere.\n"
            f"  KUBEBUILDER_ASSETS: {os.environ.get('KUBEBUILDER_ASSETS') or 'not set'}\n"
            f"  official releases: {refused}\n"
            f"  build: {error}"
        ) from error
