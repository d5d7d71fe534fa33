"""The Dockerfiles, which nothing here can build: what a build would not tell, or only late."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted([ROOT / "Dockerfile", *(ROOT / "docker").glob("*.Dockerfile")])
COMMIT = re.compile(r"[0-9a-f]{40}")


def _instructions(file: Path) -> list[tuple[str, str]]:
    text = "\n".join(line for line in file.read_text().splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", "", text)
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


@pytest.fixture(params=DOCKERFILES, ids=lambda file: file.name)
def file(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def test_the_last_user_is_a_number_and_not_root(file: Path) -> None:
    words = _instructions(file)
    last_stage = words[max(i for i, (word, _) in enumerate(words) if word == "FROM") :]
    (user,) = (rest for word, rest in last_stage if word == "USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def test_bases_have_tags_and_can_be_pinned(file: Path) -> None:
    words = _instructions(file)
    bases = [rest.split(" ")[0] for word, rest in words if word == "FROM"]
    assert len(bases) == 2
    assert set(bases) == {"${PYTHON_IMAGE}"}
    (default,) = (rest for word, rest in words if word == "ARG" and rest.startswith("PYTHON_IMAGE="))
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.1[0-9]-slim-[a-z]+", default)
    assert "latest" not in file.read_text()


def test_nothing_is_fetched_that_could_change(file: Path) -> None:
    words = _instructions(file)
    assert not [rest for word, rest in words if word == "ADD"]
    assert not [rest for word, rest in words if word == "RUN" and re.search(r"curl|wget|git clone|\| *(ba)?sh\b", rest)]
    for name, value in (rest.split("=", 1) for word, rest in words if word == "ARG" and "=" in rest):
        assert not name.endswith("_COMMIT") or COMMIT.fullmatch(value)
    fetched = [rest for word, rest in words if word == "RUN" and "git fetch" in rest]
    assert all(re.search(r'\.git "\$\{[A-Z_]+_COMMIT\}"', rest) for rest in fetched)


def test_what_is_installed_has_a_version_or_a_day(file: Path) -> None:
    """Names without versions are solved as of a day, or not solved at all, so that two builds get the same."""
    commands = [
        command
        for word, rest in _instructions(file)
        if word == "RUN"
        for command in rest.split("&&")
        if re.search(r"\bpip install\b", command)
    ]
    for command in commands:
        assert re.search(r"==|--no-deps|--exclude-newer=|--require-hashes", command), command
    day = [rest for word, rest in _instructions(file) if word == "ARG" and rest.startswith("PACKAGES_BEFORE=")]
    assert all(re.fullmatch(r"PACKAGES_BEFORE=\d{4}-\d\d-\d\d", rest) for rest in day)


def test_a_commit_without_default_is_asked_for(tmp_path: Path) -> None:
    """The refusal, run as the build would run it."""
    words = _instructions(ROOT / "docker" / "jetstream-pytorch.Dockerfile")
    assert ("ARG", "JETSTREAM_PYTORCH_COMMIT") in words
    refusal = next(rest for word, rest in words if word == "RUN")
    for commit, code in (("", 1), ("main", 1), ("0" * 39, 1), ("0" * 40, 0)):
        shell = ["/bin/bash", "-euo", "pipefail", "-c", refusal]
        done = subprocess.run(
            shell, env={"JETSTREAM_PYTORCH_COMMIT": commit}, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, commit
        assert not code or "--build-arg JETSTREAM_PYTORCH_COMMIT=" in done.stderr


def test_the_dummy_package_is_never_installed(file: Path) -> None:
    assert not [rest for _, rest in _instructions(file) if re.search(r"jetstream[-_]pt\b", rest)]


def test_what_is_copied_is_there_and_not_ignored(file: Path) -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [rest.split()[:-1] for word, rest in _instructions(file) if word == "COPY" and "--from" not in rest]
    for source in (source for sources in copied for source in sources):
        assert (ROOT / source).exists(), source
        assert source.split("/")[0] in allowed, source


def test_the_images_locks_are_part_of_the_lock() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "image_lock.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    run = (ROOT / "docker" / "operator" / "run.lock").read_text()
    locked = set(re.findall(r"^([a-z0-9-]+)(?:\[[a-z]+\])?==", run, re.MULTILINE))
    for name in project["dependencies"]:
        assert re.split(r"[\[<>=!~; ]", name)[0] in locked
    # The second one is needed by no name in pyproject.toml, only by what aiohttp needs.
    assert {"yarl", "multidict"} <= locked
    assert not locked & {"pytest", "mypy", "ruff", "hypothesis", "uv", "hatchling"}


def test_hadolint_finds_nothing(file: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint has no package for this machine")
    done = subprocess.run([hadolint, "--no-color", file], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_images_lock_has_every_version_of_what_it_has() -> None:
    """A package may have one version for each of several Pythons, and the image has only one of these Pythons."""

    def versions(path: Path) -> set[str]:
        return set(re.findall(r"^[a-z0-9][^ \\]*==[^ \\]+", path.read_text(), re.MULTILINE))

    everything, run = versions(ROOT / "requirements.lock"), versions(ROOT / "docker" / "operator" / "run.lock")
    names = {version.partition("==")[0] for version in run}
    assert run == {version for version in everything if version.partition("==")[0] in names}
    assert len(run) > len(names)  # Otherwise there is nothing to see here.
