"""Official release binaries, verified against the SHA-256 sums published with them.

The sums come from the same hosts over TLS: they catch a broken transfer or mirror, not a compromised host.
"""

import hashlib
import shutil
import tarfile
import urllib.error
import urllib.request
import zipfile
from http.client import HTTPException
from pathlib import Path

# For connecting and for each read, so a machine without internet falls through to the next source quickly.
TIMEOUT_S = 4.0
CHUNK_BYTES = 1 << 20


class DownloadError(Exception):
    """A file couldn't be had, or isn't what its checksum says."""


def extract(archive: Path, member: str, program: Path) -> None:
    """Copy one file out of a .tar.gz or .zip, and make it executable. Raises DownloadError when it isn't there."""
    try:
        _copy_member(archive, member, program)
    except (KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise DownloadError(f"{archive.name} holds no {member}: {error}") from error
    program.chmod(0o755)


def _copy_member(archive: Path, member: str, path: Path) -> None:
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


def read_text(address: str) -> str:
    """A small text file; raises DownloadError, also when it is empty."""
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as response:  # noqa: S310
            text = str(response.read(CHUNK_BYTES).decode())
    except (OSError, HTTPException, UnicodeDecodeError) as error:
        raise DownloadError(f"{address}: {_why(error)}") from error
    if not text.strip():
        raise DownloadError(f"{address}: empty")
    return text


def download(address: str, path: Path, sha256: str) -> None:
    """Fetch a file and compare it with its published sum. Raises DownloadError."""
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
