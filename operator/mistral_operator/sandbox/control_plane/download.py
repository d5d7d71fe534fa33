"""The projects' official release binaries, verified against the SHA-256 sums published with them.

The sums come from the same hosts over TLS: they catch a broken transfer or mirror, not a compromised host.
"""

import hashlib
import shutil
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from .versions import ETCD_VERSION, KUBERNETES_NAMES, KUBERNETES_VERSION, Target

# For connecting and for each read, so a machine without internet falls through to the next source quickly.
TIMEOUT_S = 4.0
CHUNK_BYTES = 1 << 20


class DownloadError(Exception):
    """A file couldn't be had, or isn't what its checksum says."""


@dataclass(frozen=True, slots=True)
class ReleaseSites:
    """Base addresses of the release files; tests serve their own."""

    kubernetes: str = "https://dl.k8s.io/release"
    etcd: str = "https://github.com/etcd-io/etcd/releases/download"


OFFICIAL = ReleaseSites()


def download_all(directory: Path, target: Target, say: Callable[[str], None], sites: ReleaseSites = OFFICIAL) -> None:
    """Put all binaries into `directory`, executable. Raises DownloadError at the first that can't be had."""
    for name in KUBERNETES_NAMES:
        address = f"{sites.kubernetes}/{KUBERNETES_VERSION}/bin/{target.os}/{target.arch}/{name}"
        say(f"downloading {name} {KUBERNETES_VERSION} …")
        _download(address, directory / name, _read(f"{address}.sha256").split()[0])
        directory.joinpath(name).chmod(0o755)
    _download_etcd(directory, target, say, sites.etcd)


def _download_etcd(directory: Path, target: Target, say: Callable[[str], None], site: str) -> None:
    stem = f"etcd-{ETCD_VERSION}-{target.os}-{target.arch}"
    archive = directory / (f"{stem}.tar.gz" if target.os == "linux" else f"{stem}.zip")
    say(f"downloading etcd {ETCD_VERSION} …")
    # Each line is "<sum>  <file>".
    lines = [line.split() for line in _read(f"{site}/{ETCD_VERSION}/SHA256SUMS").splitlines()]
    sums = {line[1]: line[0] for line in lines if len(line) == 2}
    if archive.name not in sums:
        raise DownloadError(f"etcd {ETCD_VERSION} has no release file {archive.name}")
    _download(f"{site}/{ETCD_VERSION}/{archive.name}", archive, sums[archive.name])
    try:
        _extract(archive, f"{stem}/etcd", directory / "etcd")
    except (KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise DownloadError(f"{archive.name} holds no {stem}/etcd: {error}") from error
    directory.joinpath("etcd").chmod(0o755)
    archive.unlink()


def _extract(archive: Path, member: str, path: Path) -> None:
    """Copy one file out; KeyError when it isn't there."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as zipped, zipped.open(member) as entry, path.open("wb") as copy:
            shutil.copyfileobj(entry, copy)
        return
    with tarfile.open(archive) as content:
        source = content.extractfile(member)
        if source is None:
            raise KeyError(member)
        with source, path.open("wb") as copy:
            shutil.copyfileobj(source, copy)


def _read(address: str) -> str:
    """A small text file; raises DownloadError, also when it is empty."""
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as response:  # noqa: S310
            text = str(response.read(CHUNK_BYTES).decode())
    except (OSError, HTTPException, UnicodeDecodeError) as error:
        raise DownloadError(f"{address}: {_why(error)}") from error
    if not text.strip():
        raise DownloadError(f"{address}: empty")
    return text


def _download(address: str, path: Path, sha256: str) -> None:
    digest = hashlib.sha256()
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as response, path.open("wb") as file:  # noqa: S310
            while chunk := response.read(CHUNK_BYTES):
                digest.update(chunk)
                file.write(chunk)
    except (OSError, HTTPException) as error:
        raise DownloadError(f"{address}: {_why(error)}") from error
    if digest.hexdigest() != sha256.lower():
        raise DownloadError(f"{address}: its SHA-256 is {digest.hexdigest()}, published is {sha256}")


def _why(error: Exception) -> str:
    # "HTTP Error 404: Not Found", but for the others the reason inside says more than the wrapper.
    if isinstance(error, urllib.error.URLError) and not isinstance(error, urllib.error.HTTPError):
        return str(error.reason)
    return str(error) or type(error).__name__
