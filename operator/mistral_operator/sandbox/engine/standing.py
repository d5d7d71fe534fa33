"""What every stand-in process does for the kubelet stand-in that started it."""

import asyncio
import os
import sys
from collections.abc import Mapping


def end_with_parent(environment: Mapping[str, str]) -> None:
    """With STAND_IN_PARENT=stdin, end at once when the standard input is closed. Needs the running event loop."""
    if environment.get("STAND_IN_PARENT") == "stdin":
        # Nobody ever writes there: readable means that the parent is gone, however it went.
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), os._exit, 1)


def announce_start(environment: Mapping[str, str]) -> None:
    """Close the file descriptor STAND_IN_STARTED_FD: from now on it is the program's own work that takes time."""
    if descriptor := environment.get("STAND_IN_STARTED_FD"):
        os.close(int(descriptor))


def say(text: str) -> None:
    """A line of the container's log."""
    print(text, file=sys.stderr, flush=True)
