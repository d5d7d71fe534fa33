"""The official release binaries of Kubernetes and etcd."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mistral_operator.sandbox.programs.cache import Target
from mistral_operator.sandbox.programs.download import DownloadError, download, extract, read_text

from .versions import ETCD_VERSION, KUBERNETES_NAMES, KUBERNETES_VERSION


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
        download(address, directory / name, read_text(f"{address}.sha256").split()[0])
        directory.joinpath(name).chmod(0o755)
    _download_etcd(directory, target, say, sites.etcd)


def _download_etcd(directory: Path, target: Target, say: Callable[[str], None], site: str) -> None:
    stem = f"etcd-{ETCD_VERSION}-{target.os}-{target.arch}"
    archive = directory / (f"{stem}.tar.gz" if target.os == "linux" else f"{stem}.zip")
    say(f"downloading etcd {ETCD_VERSION} …")
    # Each line is "<sum>  <file>".
    lines = [line.split() for line in read_text(f"{site}/{ETCD_VERSION}/SHA256SUMS").splitlines()]
    sums = {line[1]: line[0] for line in lines if len(line) == 2}
    if archive.name not in sums:
        raise DownloadError(f"etcd {ETCD_VERSION} has no release file {archive.name}")
    download(f"{site}/{ETCD_VERSION}/{archive.name}", archive, sums[archive.name])
    extract(archive, f"{stem}/etcd", directory / "etcd")
    archive.unlink()
