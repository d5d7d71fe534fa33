"""Replays the steps of the Dockerfile without a container engine, and runs what they install as the image would.

Each stage's base image is a clean virtual environment, and the image's root is a folder: absolute paths of COPY and RUN
are put below it. What this can't show: the base image itself, and anything about layers. Needs the package index.

Usage: python tools/image_check.py
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mistral_operator.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
IMAGE = "/opt/mistral-operator"
EXAMPLE = ROOT / "examples" / "mistral-7b.yaml"
CHECKS = (
    ("--version",),
    *((command, "--help") for command in COMMANDS),
    ("catalogue", "models"),
    ("plan", "-f", "model.yaml"),
)
UNWANTED = ("pip", "hatchling", "pytest", "mypy", "hypothesis")
"""Packages that build or test."""
MACHINES = ("x86_64", "aarch64")
LIBRARIES = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
PASSED_ON = re.compile(r"PIP_\w+|\w+_PROXY|\w+_proxy|SSL_CERT_\w+|REQUESTS_CA_BUNDLE")
"""Variables by which pip finds its way out of this machine."""


class CheckError(Exception):
    """Something that the image would not do."""


@dataclass
class Stage:
    """A stage while it is replayed."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = ""
    entrypoint: list[str] = field(default_factory=list)

    def place(self, path: str) -> Path:
        """Where a path of the image is here."""
        absolute = path if path.startswith("/") else f"{self.workdir.rstrip('/')}/{path}"
        return self.root / absolute.lstrip("/")


def read_instructions(text: str) -> Iterator[tuple[str, str]]:
    """Instructions with their arguments, continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, _, rest = line.partition(" ")
        yield word.upper(), rest.strip()


def replay(dockerfile: Path, directory: Path) -> Stage:
    """Run the build; the last stage."""
    stages: dict[str, Stage] = {}
    stage = Stage(directory)
    for word, rest in read_instructions(dockerfile.read_text(encoding="utf-8")):
        if word == "FROM":
            name = rest.partition(" AS ")[2] or "last"
            stage = stages[name] = begin_stage(directory / name)
        elif word == "COPY":
            copy(stage, rest, stages)
        elif word == "RUN":
            print(f"  RUN {rest}", flush=True)
            run(stage, ["sh", "-c", rest.replace(IMAGE, str(stage.place(IMAGE)))])
        elif word == "ENV":
            set_environment(stage, rest)
        elif word == "WORKDIR":
            stage.workdir = rest
            stage.place(".").mkdir(parents=True, exist_ok=True)
        elif word == "USER":
            stage.user = rest
        elif word == "ENTRYPOINT":
            stage.entrypoint = json.loads(rest)
        elif word not in ("ARG", "LABEL", "CMD"):
            raise CheckError(f"{word} isn't known here; add it to {Path(__file__).name}")
    return stage


def begin_stage(root: Path) -> Stage:
    """A clean virtual environment stands for the base image."""
    base = root / "usr" / "local"
    subprocess.run([sys.executable, "-m", "venv", base], check=True)  # noqa: S603
    passed_on = {name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)}
    return Stage(root, {"PATH": f"{base / 'bin'}:/usr/bin:/bin", "HOME": "/nonexistent", **passed_on})


def set_environment(stage: Stage, text: str) -> None:
    """ENV: with $PATH and the image's folder put in."""
    for pair in shlex.split(text):
        name, _, value = pair.partition("=")
        value = value.replace("$PATH", stage.environment["PATH"]).replace(IMAGE, str(stage.place(IMAGE)))
        stage.environment[name] = value


def copy(stage: Stage, text: str, stages: Mapping[str, Stage]) -> None:
    """COPY, also from another stage; folders are copied by their content."""
    words = text.split()
    source_stage = stages[words.pop(0).removeprefix("--from=")] if words[0].startswith("--from=") else None
    *sources, target = words
    for name in sources:
        source = source_stage.place(name) if source_stage else ROOT / name
        place = stage.place(target)
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__") if source_stage is None else None
            shutil.copytree(source, place, symlinks=True, dirs_exist_ok=True, ignore=ignored)
        else:
            into = place / source.name if target.endswith("/") else place
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, into)
    if source_stage:
        move_paths(source_stage, stage)


def move_paths(old: Stage, new: Stage) -> None:
    """In an image both stages have the same paths. Here scripts and the environment's interpreter have to follow."""
    for file in new.place(f"{IMAGE}/bin").iterdir():
        if file.is_symlink() and str(old.root) in os.readlink(file):
            target = os.readlink(file).replace(str(old.root), str(new.root))
            file.unlink()
            file.symlink_to(target)
        elif not file.is_symlink():
            file.write_text(file.read_text(encoding="utf-8").replace(str(old.root), str(new.root)), encoding="utf-8")
    settings = new.place(f"{IMAGE}/pyvenv.cfg")
    settings.write_text(settings.read_text().replace(str(old.root), str(new.root)))


def run(stage: Stage, words: list[str], *, as_user: bool = False) -> str:
    """Run a program as the stage would; what it printed. Raises CheckError."""
    if as_user and os.geteuid() == 0:
        user, _, group = stage.user.partition(":")
        words = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs", *words]
    done = subprocess.run(  # noqa: S603
        words, cwd=stage.place("."), env=stage.environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CheckError(f"{shlex.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def check(stage: Stage) -> None:
    """What the last stage has, and that it works."""
    if not re.fullmatch(r"[1-9]\d*:[1-9]\d*", stage.user):
        raise CheckError(f"USER {stage.user or 'is not set'}: it has to be a number other than 0, and so its group")
    python = str(stage.place(f"{IMAGE}/bin/python"))
    installed = run(
        stage, [python, "-c", "import importlib.metadata as m; print(*(d.name for d in m.distributions()))"]
    )
    found = sorted(set(installed.split()) & set(UNWANTED))
    if found:
        raise CheckError(f"the image has {', '.join(found)}")
    shutil.copy(EXAMPLE, stage.place("model.yaml"))
    for arguments in CHECKS:
        # Found by the stage's own PATH, which is not this program's.
        program = shutil.which(stage.entrypoint[0], path=stage.environment["PATH"])
        if program is None:
            raise CheckError(f"{stage.entrypoint[0]} is not on the image's PATH")
        said = run(stage, [program, *stage.entrypoint[1:], *arguments], as_user=True)
        print(f"  {' '.join(stage.entrypoint)} {' '.join(arguments)}: {len(said.splitlines())} lines", flush=True)


def check_wheels(python: str, dockerfile: Path, directory: Path) -> None:
    """Every locked package has a wheel for the image's Python on each platform."""
    version = re.search(r"^ARG PYTHON_IMAGE=python:(\d+\.\d+)", dockerfile.read_text(), re.MULTILINE)
    if version is None:
        raise CheckError("the base image's Python isn't known")
    lock = str(ROOT / "docker" / "operator" / "run.lock")
    for machine in MACHINES:
        wheels = directory / machine
        wheels.mkdir(parents=True)
        words = [python, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        words += ["--only-binary=:all:", "--no-deps", f"--python-version={version[1]}", "--dest", str(wheels)]
        words += [f"--platform={library}_{machine}" for library in LIBRARIES]
        run(Stage(directory, dict(os.environ)), [*words, "-r", lock])
        print(f"  Python {version[1]} on {machine}: {len(list(wheels.iterdir()))} wheels", flush=True)


def main() -> int:
    """The exit code."""
    dockerfile = ROOT / "Dockerfile"
    with tempfile.TemporaryDirectory(prefix="image-check-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        try:
            print("wheels", flush=True)
            check_wheels(sys.executable, dockerfile, directory / "wheels")
            print("build", flush=True)
            stage = replay(dockerfile, directory)
            print(f"run as {stage.user}", flush=True)
            check(stage)
        except CheckError as error:
            print(f"image-check: {error}", file=sys.stderr)
            return 1
    print("The Dockerfile's steps work here; the image itself was not built.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
