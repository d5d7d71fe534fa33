"""Programs built from their Go modules, once, with progress shown."""

import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from mistral_operator.sandbox.processes import ProcessGroup

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


@dataclass(frozen=True, slots=True)
class GoModule:
    """A committed go.mod and go.sum that name programs by `tool` directives, and pin all that they are made of."""

    directory: Path
    what: str
    """For messages: `the control plane`."""
    duration: str
    """About how long a first build takes: `8 minutes`."""
    way_out: str
    """What somebody without Go can do instead."""
    variables: Mapping[str, str]
    """Go variables that a release's own build sets to its version."""

    def build(self, directory: Path, say: Callable[[str], None]) -> None:
        """Build all tools into `directory`, named after the last element of their packages' paths.

        Raises BuildError.
        """
        go = self._find_go()
        say(f"building {self.what} with Go: about {self.duration} on 2 cores, once (fetching modules first)")
        count = len(self._run(go, ["list", "-deps", "tool"], lambda p: f"  {p.fetched} modules fetched", say).split())
        linker = " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in self.variables.items())])
        args = ["build", "-v", "-trimpath", "-ldflags", linker, "-o", f"{directory}/", "tool"]
        self._run(go, args, lambda p: f"  {p.compiled} of at most {count} packages compiled, linking comes last", say)

    def sources(self, module: str, say: Callable[[str], None]) -> Path:
        """Where Go keeps the sources of a required module, once `build` has fetched them. Raises BuildError."""
        args = ["list", "-m", "-json", module]
        answer = self._run(self._find_go(), args, lambda _: f"  looking for {module}", say)
        return Path(json.loads(answer)["Dir"])

    def _find_go(self) -> str:
        go = shutil.which("go")
        if go is None:
            raise BuildError(f"no `go` in PATH; install Go 1.21 or newer, or {self.way_out}")
        answer = subprocess.run([go, "version"], capture_output=True, text=True, check=False)
        found = re.search(r"go(\d+)\.(\d+)", answer.stdout)
        if not found or (int(found[1]), int(found[2])) < OLDEST_GO:
            version = answer.stdout.strip() or answer.stderr.strip()
            raise BuildError(f"{go} is too old ({version}); install Go 1.21 or newer, or {self.way_out}")
        return go

    def _run(self, go: str, args: list[str], state: Callable[[Progress], str], say: Callable[[str], None]) -> str:
        """Run go in the module's directory, saying `state` every few seconds; returns its standard output."""
        # A user's GOFLAGS (-mod=vendor, -tags …) are meant for other modules.
        environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}
        started = time.monotonic()
        progress, output = Progress(), _Output()
        with (
            ProcessGroup() as group,
            subprocess.Popen(
                [go, *args],
                cwd=self.directory,
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
