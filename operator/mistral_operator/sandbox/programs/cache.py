"""Directories in the user's cache that are filled once, whole or not at all, by one process at a time."""

import fcntl
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Target:
    """An operating system and a processor in Go's words, such as linux and amd64."""

    os: str
    arch: str


def this_machine() -> Target:
    """This machine in Go's words."""
    machine = platform.machine().lower()
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    return Target(platform.system().lower(), arch)


def cache_root() -> Path:
    """Where this project keeps what it fetched or built for this user."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mistral-operator"


def missing_programs(directory: Path, names: tuple[str, ...]) -> list[str]:
    """Which of the names aren't executable files of the directory."""
    return [name for name in names if not os.access(directory / name, os.X_OK)]


def fill_once(
    directory: Path, complete: Callable[[Path], bool], fill: Callable[[Path], None], what: str, say: Say
) -> None:
    """Unless the directory is complete, let `fill` write into one beside it, and rename that.

    `what` is named in the progress lines. What `fill` raises goes through, and leaves nothing behind.
    """
    if complete(directory):
        return
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _locked(directory.with_name(directory.name + ".lock"), what, say):
        if not complete(directory):
            _fill(directory, fill)
            say(f"{what} kept in {directory}")


def _fill(directory: Path, fill: Callable[[Path], None]) -> None:
    for left in directory.parent.glob(f".{directory.name}-*"):
        # We hold the lock: whoever made these was killed.
        shutil.rmtree(left, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        fill(work)
        shutil.rmtree(directory, ignore_errors=True)
        work.rename(directory)
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _locked(path: Path, what: str, say: Say) -> Iterator[None]:
    """Hold a lock that ends with this process."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process is fetching {what}: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
