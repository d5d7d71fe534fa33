"""Local processes end with the one that started them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from tests.support.polling import eventually

from mistral_operator.sandbox.processes import ProcessGroup

SLEEP = [sys.executable, "-c", "import signal; signal.pause()"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()",
]
# Starts a child, says its id, and then does nothing.
PARENT = """
import signal, sys
from pathlib import Path
from mistral_operator.sandbox.processes import ProcessGroup
with ProcessGroup() as group:
    child = group.spawn("child", [sys.executable, "-c", "import signal; signal.pause()"], Path(sys.argv[1]))
    print(child.popen.pid, flush=True)
    signal.pause()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_children_end_when_the_parent_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", PARENT, tmp_path / "log"],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        assert psutil.pid_exists(child)
        parent.send_signal(number)

    await eventually(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie", 10)


async def test_children_end_with_the_block(tmp_path: Path) -> None:
    with ProcessGroup() as group:
        child = group.spawn("sleep", SLEEP, tmp_path / "log")
        assert child.running
    assert child.popen.returncode == -signal.SIGKILL


async def test_stop_is_polite_first(tmp_path: Path) -> None:
    with ProcessGroup() as group:
        polite = group.spawn("sleep", SLEEP, tmp_path / "polite")
        stubborn = group.spawn("stubborn", STUBBORN, tmp_path / "stubborn")
        await eventually(lambda: stubborn.log_tail() == "up")
        await polite.stop()
        await stubborn.stop(grace_s=0.1)
    assert polite.popen.returncode == -signal.SIGTERM
    assert stubborn.popen.returncode == -signal.SIGKILL


async def test_output_and_environment(tmp_path: Path) -> None:
    with ProcessGroup() as group:
        code = "import os; print(os.environ['GREETING'], os.getcwd())"
        child = group.spawn(
            "echo", [sys.executable, "-c", code], tmp_path / "log", env={"GREETING": "hello"}, cwd=tmp_path
        )
        assert await child.wait(10) == 0
    assert child.log_tail() == f"hello {tmp_path}"


async def test_waiting_has_a_limit(tmp_path: Path) -> None:
    with ProcessGroup() as group, pytest.raises(TimeoutError):
        await group.spawn("sleep", SLEEP, tmp_path / "log").wait(0.05)
