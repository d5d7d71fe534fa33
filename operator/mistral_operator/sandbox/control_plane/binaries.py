"""Where the control plane's binaries come from: the first of four sources that has them all.

1. `KUBEBUILDER_ASSETS`; 2. the user's cache; 3. the projects' official releases, checksums verified; 4. built by Go.
The last two fill the cache.
"""

import fcntl
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .build import BuildError, build_all
from .download import OFFICIAL, DownloadError, ReleaseSites, download_all
from .versions import ETCD_VERSION, KUBERNETES_VERSION, NAMES, Target

Say = Callable[[str], None]


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
        if not (missing := _missing(Path(assets))):
            return Binaries(Path(assets))
        say(f"KUBEBUILDER_ASSETS={assets} lacks {', '.join(missing)}: looking elsewhere")
    target = this_machine()
    directory = cache_directory(target)
    if _missing(directory):
        directory.parent.mkdir(parents=True, exist_ok=True)
        with _locked(directory.with_name(directory.name + ".lock"), say):
            if _missing(directory):
                _fill(directory, target, say, sites)
    return Binaries(directory)


def cache_directory(target: Target) -> Path:
    """Where the binaries of these versions are kept for this user."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    name = f"{KUBERNETES_VERSION}-etcd-{ETCD_VERSION}-{target.os}-{target.arch}"
    return Path(cache) / "mistral-operator" / "control-plane" / name


def this_machine() -> Target:
    """This machine in Go's words."""
    machine = platform.machine().lower()
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    return Target(platform.system().lower(), arch)


def _missing(directory: Path) -> list[str]:
    return [name for name in NAMES if not os.access(directory / name, os.X_OK)]


def _fill(directory: Path, target: Target, say: Say, sites: ReleaseSites) -> None:
    """Download or build into a directory beside the cache's, and rename that: nobody ever sees half of it."""
    for left in directory.parent.glob(f".{directory.name}-*"):
        # We hold the lock: whoever made these was killed.
        shutil.rmtree(left, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        _obtain(work, target, say, sites)
        shutil.rmtree(directory, ignore_errors=True)
        work.rename(directory)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    say(f"control plane kept in {directory}")


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


@contextmanager
def _locked(path: Path, say: Say) -> Iterator[None]:
    """Hold a lock that ends with this process."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process is fetching the control plane's binaries: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
