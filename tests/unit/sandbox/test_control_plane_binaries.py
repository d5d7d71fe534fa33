"""Where the control plane's binaries come from, without any network but loopback."""

import hashlib
import io
import os
import re
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mistral_operator.sandbox.control_plane import binaries, build
from mistral_operator.sandbox.control_plane.binaries import BinariesMissingError, find_binaries
from mistral_operator.sandbox.control_plane.download import ReleaseSites, download_all
from mistral_operator.sandbox.control_plane.versions import ETCD_VERSION, KUBERNETES_NAMES, KUBERNETES_VERSION, NAMES
from mistral_operator.sandbox.programs import golang
from mistral_operator.sandbox.programs.cache import Target, this_machine
from mistral_operator.sandbox.programs.download import DownloadError

LINUX = Target("linux", "amd64")
NOWHERE = ReleaseSites("http://127.0.0.1:9", "http://127.0.0.1:9")

FAKE_GO = """#!/bin/sh
case "$1" in
version) echo "go version go1.26.8 linux/amd64" ;;
list) echo k8s.io/one; echo k8s.io/two ;;
build)
  echo "go: downloading k8s.io/api v0.36.3" >&2
  echo k8s.io/one >&2
  while [ "$1" != -o ]; do shift; done
  for name in server kube-apiserver kube-controller-manager kube-scheduler kubectl; do
    printf '#!/bin/sh\\n' >"$2$name"; chmod +x "$2$name"
  done ;;
esac
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with an empty cache, no assets and no go."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    return tmp_path / "cache"


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    """A copy of both release sites with tiny binaries, as they publish them."""
    root = tmp_path / "releases"
    kubernetes = root / "k8s" / KUBERNETES_VERSION / "bin" / "linux" / "amd64"
    kubernetes.mkdir(parents=True)
    for name in KUBERNETES_NAMES:
        kubernetes.joinpath(name).write_text(f"#!{name}")
        kubernetes.joinpath(f"{name}.sha256").write_text(hashlib.sha256(f"#!{name}".encode()).hexdigest())
    etcd = root / "etcd" / ETCD_VERSION
    etcd.mkdir(parents=True)
    stem = f"etcd-{ETCD_VERSION}-linux-amd64"
    archive = etcd / f"{stem}.tar.gz"
    with tarfile.open(archive, "w:gz") as content:
        member = tarfile.TarInfo(f"{stem}/etcd")
        member.size = len(b"#!etcd")
        content.addfile(member, io.BytesIO(b"#!etcd"))
    etcd.joinpath("SHA256SUMS").write_text(f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  {archive.name}\n")
    return root


@pytest.fixture
def sites(releases: Path, serve: Callable[[Path], str]) -> ReleaseSites:
    """The copy, served on loopback."""
    base = serve(releases)
    return ReleaseSites(f"{base}/k8s", f"{base}/etcd")


def fill(directory: Path, names: tuple[str, ...] = NAMES) -> Path:
    directory.mkdir(parents=True)
    for name in names:
        directory.joinpath(name).touch(mode=0o755)
    return directory


def test_assets_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assets = fill(tmp_path / "assets")
    fill(binaries.cache_directory(this_machine()))
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    assert find_binaries(print, NOWHERE).directory == assets


def test_incomplete_assets_are_named_and_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assets = fill(tmp_path / "assets", ("etcd", "kube-apiserver", "kubectl"))
    cached = fill(binaries.cache_directory(this_machine()))
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    said: list[str] = []
    assert find_binaries(said.append, NOWHERE).directory == cached
    assert said == [f"KUBEBUILDER_ASSETS={assets} lacks kube-controller-manager, kube-scheduler: looking elsewhere"]


def test_downloads_are_verified_and_executable(tmp_path: Path, sites: ReleaseSites) -> None:
    download_all(tmp_path, LINUX, print, sites)
    assert [tmp_path.joinpath(name).read_text() for name in NAMES] == [f"#!{name}" for name in NAMES]
    assert all(os.access(tmp_path / name, os.X_OK) for name in NAMES)
    assert not list(tmp_path.glob("*.tar.gz"))


@pytest.mark.parametrize("file", ["kube-scheduler", f"etcd-{ETCD_VERSION}-linux-amd64.tar.gz"])
def test_a_wrong_checksum_is_refused(tmp_path: Path, releases: Path, sites: ReleaseSites, file: str) -> None:
    next(releases.rglob(file)).write_text("something else")
    with pytest.raises(DownloadError, match=rf"{re.escape(file)}: its SHA-256 is \w+, published is \w+"):
        download_all(tmp_path, LINUX, print, sites)


def test_what_is_not_published_is_named(tmp_path: Path, sites: ReleaseSites) -> None:
    with pytest.raises(DownloadError, match=r"darwin/arm64/kube-apiserver.*404"):
        download_all(tmp_path, Target("darwin", "arm64"), print, sites)


def test_without_internet_go_builds(cache: Path, fake_go: Callable[[str], None]) -> None:
    fake_go(FAKE_GO)
    said: list[str] = []
    found = find_binaries(said.append, NOWHERE)
    assert cache in found.directory.parents
    assert all(os.access(found.directory / name, os.X_OK) for name in NAMES)
    assert any("no official binaries" in text and "refused" in text for text in said)
    # Nothing but the result and the lock is left beside it, and the next time nothing is done.
    assert {path.name for path in found.directory.parent.iterdir()} == {
        found.directory.name,
        f"{found.directory.name}.lock",
    }
    said.clear()
    assert find_binaries(said.append, NOWHERE) == found
    assert said == []


def test_two_at_once_build_once(
    cache: Path, fake_go: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUILDS", str(tmp_path / "builds"))
    fake_go(FAKE_GO.replace("build)\n", 'build)\n  echo once >>"$BUILDS"\n'))
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(find_binaries(print, NOWHERE).directory)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert tmp_path.joinpath("builds").read_text() == "once\n"


def test_what_a_killed_build_left_is_cleared(cache: Path, fake_go: Callable[[str], None]) -> None:
    fake_go(FAKE_GO)
    directory = binaries.cache_directory(this_machine())
    left = fill(directory.parent / f".{directory.name}-killed", ("etcd",))
    find_binaries(print, NOWHERE)
    assert not left.exists()


def test_without_go_every_source_is_explained() -> None:
    with pytest.raises(BinariesMissingError) as refused:
        find_binaries(print, NOWHERE)
    text = str(refused.value)
    assert "KUBEBUILDER_ASSETS: not set" in text
    assert re.search(r"official releases: .*kube-apiserver.sha256: .*refused", text)
    assert "build: no `go` in PATH; install Go 1.21 or newer" in text


def test_an_old_go_is_named(fake_go: Callable[[str], None]) -> None:
    fake_go('#!/bin/sh\necho "go version go1.19.8 linux/amd64"\n')
    with pytest.raises(BinariesMissingError, match=r"too old \(go version go1\.19\.8 linux/amd64\)"):
        find_binaries(print, NOWHERE)


def test_go_is_quoted_when_it_fails(fake_go: Callable[[str], None]) -> None:
    fake_go(FAKE_GO.replace("list) ", 'list) echo "go: no required module provides package x" >&2; exit 1;'))
    with pytest.raises(BinariesMissingError, match="`go list` ended with 1:\ngo: no required module"):
        find_binaries(print, NOWHERE)


def test_progress_is_said_while_go_works(
    fake_go: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_go(FAKE_GO.replace("  while [", "  sleep 0.3\n  while ["))
    monkeypatch.setattr(golang, "REPORT_S", 0.05)
    said: list[str] = []
    build.build_all(tmp_path, said.append)
    assert "  1 of at most 2 packages compiled, linking comes last, 0:00 min" in said


def test_the_module_builds_the_same_versions() -> None:
    module = build.MODULE.directory.joinpath("go.mod").read_text()
    assert re.search(rf"k8s\.io/kubernetes {KUBERNETES_VERSION}\b", module)
    assert re.search(rf"go\.etcd\.io/etcd/server/v3 {ETCD_VERSION}\b", module)
