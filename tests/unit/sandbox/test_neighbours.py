"""Where the neighbours' programs come from, without any network but loopback."""

import hashlib
import io
import os
import re
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mistral_operator.sandbox.neighbours import find
from mistral_operator.sandbox.neighbours.catalogue import HELM, LWS, NEIGHBOURS, Neighbour
from mistral_operator.sandbox.neighbours.find import NeighbourMissingError, cache_directory, find_program
from mistral_operator.sandbox.programs.cache import this_machine

FAKE_GO = """#!/bin/sh
case "$1 $2" in
"version ") echo "go version go1.26.8 linux/amd64" ;;
"list -m") printf '{"Path": "%s", "Dir": "%s"}' "$4" "$SOURCES" ;;
"list -deps") echo one; echo two ;;
"build -v")
  while [ "$1" != -o ]; do shift; done
  for name in helm cmd; do printf '#!/bin/sh\\necho built\\n' >"$2$name"; chmod +x "$2$name"; done ;;
esac
"""


@pytest.fixture(autouse=True)
def nothing_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user with an empty cache, no helm, no go, and no way to the internet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MISTRAL_OPERATOR_HELM", raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    releases_at(monkeypatch, "http://127.0.0.1:9")


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sources of LeaderWorkerSet's module as Go's cache holds them: read-only."""
    directory = tmp_path / "sources"
    for file in LWS.files:
        directory.joinpath(file).parent.mkdir(parents=True, exist_ok=True)
        directory.joinpath(file).write_text(f"kind: {file}\n")
        directory.joinpath(file).chmod(0o444)
    monkeypatch.setenv("SOURCES", str(directory))
    return directory


def releases_at(monkeypatch: pytest.MonkeyPatch, site: str) -> None:
    monkeypatch.setitem(NEIGHBOURS, "helm", replace(HELM, release=f"{site}/helm-v4.3.1"))


def program(path: Path, says: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {says}\n")
    path.chmod(0o755)
    return path


def test_the_environment_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = program(tmp_path / "own")
    program(cache_directory(HELM) / "helm")
    monkeypatch.setenv("MISTRAL_OPERATOR_HELM", str(own))
    assert find_program("helm", print) == own


def test_what_is_no_program_is_named_and_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = program(cache_directory(HELM) / "helm")
    monkeypatch.setenv("MISTRAL_OPERATOR_HELM", str(tmp_path))
    said: list[str] = []
    assert find_program("helm", said.append) == cached
    assert said == [f"MISTRAL_OPERATOR_HELM={tmp_path} is no program: looking elsewhere"]


@pytest.mark.parametrize(("says", "taken"), [("v4.1.0+g1234567", True), ("v3.19.0+g1234567", False), ("", False)])
def test_a_helm_in_the_path_is_taken_if_it_is_a_4(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, taken: bool
) -> None:
    own, cached = program(tmp_path / "bin" / "helm", says), program(cache_directory(HELM) / "helm")
    monkeypatch.setenv("PATH", f"{own.parent}:/usr/bin:/bin")
    assert find_program("helm", print) == (own if taken else cached)


def test_a_download_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Callable[[Path], str]) -> None:
    target = this_machine()
    archive = tmp_path / "site" / f"helm-v4.3.1-{target.os}-{target.arch}.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as content:
        member = tarfile.TarInfo(f"{target.os}-{target.arch}/helm")
        member.size = len(b"#!helm")
        content.addfile(member, io.BytesIO(b"#!helm"))
    sums = archive.with_name(f"{archive.name}.sha256sum")
    releases_at(monkeypatch, serve(archive.parent))
    sums.write_text(f"{'0' * 64}  {archive.name}\n")
    with pytest.raises(NeighbourMissingError, match=rf"its SHA-256 is \w+, published is {'0' * 64}"):
        find_program("helm", print)
    sums.write_text(f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  {archive.name}\n")
    found = find_program("helm", print)
    assert found == cache_directory(HELM) / "helm"
    assert found.read_text() == "#!helm"
    assert os.access(found, os.X_OK)
    assert [path.name for path in found.parent.iterdir()] == ["helm"]


def test_without_internet_go_builds(fake_go: Callable[[str], None]) -> None:
    fake_go(FAKE_GO)
    said: list[str] = []
    found = find_program("helm", said.append)
    assert found == cache_directory(HELM) / "helm"
    assert os.access(found, os.X_OK)
    assert any(re.search("no official helm: .*refused", text) for text in said)
    said.clear()
    assert find_program("helm", said.append) == found
    assert said == []


def test_manifests_are_kept_beside_the_program(fake_go: Callable[[str], None], sources: Path) -> None:
    fake_go(FAKE_GO)
    found = find_program("lws", print)
    assert found.name == "lws"
    for file in LWS.files:
        assert found.parent.joinpath(file).read_text() == sources.joinpath(file).read_text()


def test_a_cache_without_a_manifest_is_filled_again(fake_go: Callable[[str], None], sources: Path) -> None:
    fake_go(FAKE_GO)
    program(cache_directory(LWS) / "lws")
    assert find_program("lws", print).parent.joinpath(LWS.files[0]).exists()


def test_a_module_that_lacks_a_manifest_is_refused(fake_go: Callable[[str], None], sources: Path) -> None:
    fake_go(FAKE_GO)
    sources.joinpath(LWS.files[0]).unlink()
    with pytest.raises(NeighbourMissingError, match=rf"{re.escape(LWS.files[0])}"):
        find_program("lws", print)
    assert not cache_directory(LWS).exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("helm", ["MISTRAL_OPERATOR_HELM: not set", "refused", "or set MISTRAL_OPERATOR_HELM to a helm of your own"]),
        ("lws", ["official releases: none of this program", "no `go` in PATH", "or do without lws"]),
    ],
)
def test_without_go_every_source_is_explained(name: str, said: list[str]) -> None:
    with pytest.raises(NeighbourMissingError) as refused:
        find_program(name, print)
    assert [text for text in said if text not in str(refused.value)] == []


def test_an_unknown_neighbour_is_refused() -> None:
    with pytest.raises(NeighbourMissingError, match="no neighbour 'keda'; there are: helm, lws"):
        find_program("keda", print)


@pytest.mark.parametrize("neighbour", [HELM, LWS])
def test_the_module_builds_the_same_version(neighbour: Neighbour) -> None:
    module = neighbour.source.directory.joinpath("go.mod").read_text()
    assert f"\t{neighbour.module} {neighbour.version} " in module
    assert f"tool {neighbour.module}/{neighbour.package}\n" in module
    assert neighbour.version in next(iter(neighbour.variables.values()))
    assert find.cache_directory(neighbour).name.startswith(f"{neighbour.name}-{neighbour.version}-")
