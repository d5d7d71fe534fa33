"""The control plane built from its Go modules: about 8 minutes on 2 cores, once, with progress shown."""

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from mistral_operator.sandbox.processes import ProcessGroup

from .versions import KUBERNETES_VERSION, NAMES

MODULE = Path(__file__).parent.parent / "binaries"
REPORT_S = 5.0
# A Go older than this can't fetch the newer one that go.mod asks for.
OLDEST_GO = (1, 21)
TAIL_LINES = 15


class BuildError(Exception):
    """Go is missing or too old, or it failed; the message says which and ends with go's own words."""


@dataclass(slots=True)
class Progress:
    """What go has printed so far; written by a thread that reads its output."""

    compiled: int = 0
    fetched: int = 0
    other: list[str] = field(default_factory=list)

    def read(self, output: IO[str]) -> None:
        """Count the lines of `go build -v`: import paths, downloads, and whatever else as the error to show."""
        for line in output:
            if line.startswith("go: downloading "):
                self.fetched += 1
            elif re.fullmatch(r"[\w.~/+-]+\n", line):
                self.compiled += 1
            elif line.strip():
                self.other = [*self.other[-TAIL_LINES:], line.rstrip()]


def build_all(directory: Path, say: Callable[[str], None]) -> None:
    """Build all binaries into `directory`. Raises BuildError."""
    go = _find_go()
    say("building the control plane with Go: about 8 minutes on 2 cores, once (fetching modules first)")
    count = len(_run(go, ["list", "-deps", "tool"], lambda p: f"  {p.fetched} modules fetched", say).split())
    version = KUBERNETES_VERSION.removeprefix("v").split(".")
    flags = {
        # Clients refuse a server that calls itself v0.0.0.
        "k8s.io/component-base/version.gitVersion": KUBERNETES_VERSION,
        "k8s.io/component-base/version.gitMajor": version[0],
        "k8s.io/component-base/version.gitMinor": version[1],
        "k8s.io/client-go/pkg/version.gitVersion": KUBERNETES_VERSION,
    }
    linker = " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in flags.items())])
    args = ["build", "-v", "-trimpath", "-ldflags", linker, "-o", f"{directory}/", "tool"]
    _run(go, args, lambda p: f"  {p.compiled} of at most {count} packages compiled, linking comes last", say)
    # go names a binary after the last element of its package's path.
    directory.joinpath("server").rename(directory / "etcd")
    if missing := [name for name in NAMES if not directory.joinpath(name).exists()]:
        raise BuildError(f"go built no {', '.join(missing)}")


def _find_go() -> str:
    go = shutil.which("go")
    if go is None:
        raise BuildError("no `go` in PATH; install Go 1.21 or newer, or set KUBEBUILDER_ASSETS")
    answer = subprocess.run([go, "version"], capture_output=True, text=True, check=False)
    found = re.search(r"go(\d+)\.(\d+)", answer.stdout)
    if not found or (int(found[1]), int(found[2])) < OLDEST_GO:
        version = answer.stdout.strip() or answer.stderr.strip()
        raise BuildError(f"{go} is too old ({version}); install Go 1.21 or newer, or set KUBEBUILDER_ASSETS")
    return go


def _run(go: str, args: list[str], state: Callable[[Progress], str], say: Callable[[str], None]) -> str:
    """Run go in the module's directory, saying `state` every few seconds; returns its standard output."""
    # A user's GOFLAGS (-mod=vendor, -tags …) are meant for other modules.
    environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}
    started = time.monotonic()
    progress, output = Progress(), _Output()
    with (
        ProcessGroup() as group,
        subprocess.Popen(
            [go, *args],
            cwd=MODULE,
            env=environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=group.number,
        ) as process,
    ):
        assert process.stdout
        assert process.stderr
        readers = [
            threading.Thread(target=progress.read, args=(process.stderr,)),
            threading.Thread(target=output.read, args=(process.stdout,)),
        ]
        for reader in readers:
            reader.start()
        try:
            while (code := _wait(process)) is None:
                minutes, seconds = divmod(int(time.monotonic() - started), 60)
                say(f"{state(progress)}, {minutes}:{seconds:02d} min")
        except BaseException:
            # Ctrl-C: kill go with its compilers, or leaving the block would wait for them.
            group.close()
            raise
        for reader in readers:
            reader.join()
    if code:
        raise BuildError(f"`go {args[0]}` ended with {code}:\n" + "\n".join(progress.other))
    return output.text


def _wait(process: subprocess.Popen[str]) -> int | None:
    """The exit code, or None when it still runs after a while."""
    try:
        return process.wait(REPORT_S)
    except subprocess.TimeoutExpired:
        return None


@dataclass(slots=True)
class _Output:
    text: str = ""

    def read(self, stream: IO[str]) -> None:
        self.text = stream.read()
