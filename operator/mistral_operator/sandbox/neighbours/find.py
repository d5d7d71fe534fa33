"""Where a neighbour's program comes from: the first of five sources that has it.

1. an environment variable, where the neighbour has one; 2. PATH, where the version fits; 3. the user's cache;
4. its project's official release, checksum verified, where there is one; 5. built by Go. The last two fill the cache.
"""

import os
import shutil
import subprocess
from functools import partial
from pathlib import Path

from mistral_operator.sandbox.programs.cache import Say, cache_root, fill_once, missing_programs, this_machine
from mistral_operator.sandbox.programs.download import DownloadError, download, extract, read_text
from mistral_operator.sandbox.programs.golang import BuildError

from .catalogue import NEIGHBOURS, Neighbour
from .errors import NeighbourMissingError

ASK_TIMEOUT_S = 10.0


def find_program(name: str, say: Say) -> Path:
    """The program, made if need be (minutes, once). `say` gets progress lines. Raises NeighbourMissingError."""
    neighbour = NEIGHBOURS.get(name)
    if neighbour is None:
        raise NeighbourMissingError(f"no neighbour {name!r}; there are: {', '.join(NEIGHBOURS)}")
    if own := _named(neighbour, say) or _in_path(neighbour):
        return own
    directory = cache_directory(neighbour)
    what = f"{neighbour.name} {neighbour.version}"
    fill_once(directory, partial(_complete, neighbour), partial(_obtain, neighbour, say), what, say)
    return directory / neighbour.name


def cache_directory(neighbour: Neighbour) -> Path:
    """Where this version is kept for this user."""
    target = this_machine()
    name = f"{neighbour.name}-{neighbour.version}-{target.os}-{target.arch}"
    return cache_root() / "neighbours" / name


def _named(neighbour: Neighbour, say: Say) -> Path | None:
    named = os.environ.get(neighbour.override, "") if neighbour.override else ""
    if not named:
        return None
    if os.access(named, os.X_OK) and Path(named).is_file():
        return Path(named)
    say(f"{neighbour.override}={named} is no program: looking elsewhere")
    return None


def _in_path(neighbour: Neighbour) -> Path | None:
    found = shutil.which(neighbour.name) if neighbour.own_version else None
    if found is None:
        return None
    try:
        answer = subprocess.run(
            [found, "version", "--short"], capture_output=True, text=True, check=False, timeout=ASK_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Path(found) if answer.stdout.strip().startswith(neighbour.own_version) else None


def _complete(neighbour: Neighbour, directory: Path) -> bool:
    files = all(directory.joinpath(file).is_file() for file in neighbour.files)
    return files and not missing_programs(directory, (neighbour.name,))


def _obtain(neighbour: Neighbour, say: Say, work: Path) -> None:
    refused = "none of this program"
    if neighbour.release:
        try:
            _download(neighbour, work, say)
            return
        except DownloadError as error:
            refused = str(error)
            say(f"no official {neighbour.name}: {error}")
    try:
        _build(neighbour, work, say)
    except BuildError as error:
        named = (
            f"\n  {neighbour.override}: {os.environ.get(neighbour.override) or 'not set'}" if neighbour.override else ""
        )
        raise NeighbourMissingError(
            f"{neighbour.name} {neighbour.version} can be had from nowhere.{named}\n"
            f"  official releases: {refused}\n"
            f"  build: {error}"
        ) from error


def _download(neighbour: Neighbour, work: Path, say: Say) -> None:
    target = this_machine()
    address = f"{neighbour.release}-{target.os}-{target.arch}.tar.gz"
    say(f"downloading {neighbour.name} {neighbour.version} …")
    archive = work / "archive.tar.gz"
    # The file's only line is "<sum>  <file>".
    download(address, archive, read_text(f"{address}.sha256sum").split()[0])
    extract(archive, f"{target.os}-{target.arch}/{neighbour.name}", work / neighbour.name)
    archive.unlink()


def _build(neighbour: Neighbour, work: Path, say: Say) -> None:
    neighbour.source.build(work, say)
    built = work / Path(neighbour.package).name
    if not built.exists():
        raise BuildError(f"go built no {built.name}")
    built.rename(work / neighbour.name)
    if not neighbour.files:
        return
    sources = neighbour.source.sources(neighbour.module, say)
    for file in neighbour.files:
        if not sources.joinpath(file).is_file():
            raise BuildError(f"{neighbour.module} {neighbour.version} holds no {file}")
        work.joinpath(file).parent.mkdir(parents=True, exist_ok=True)
        # Not the mode: Go's module cache is read-only.
        shutil.copyfile(sources / file, work / file)
