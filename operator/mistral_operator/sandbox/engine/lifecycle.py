"""What all stand-in engines do alike as processes: say what happens, load for a while, end when they are told to."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping


def say(text: str) -> None:
    """A line of the container's log."""
    print(text, file=sys.stderr, flush=True)


def announce_start(environment: Mapping[str, str]) -> None:
    """Close the file descriptor STAND_IN_STARTED_FD: from now on it is the program's own work that takes time."""
    if descriptor := environment.get("STAND_IN_STARTED_FD"):
        os.close(int(descriptor))


def end_with_parent(environment: Mapping[str, str]) -> None:
    """With STAND_IN_PARENT=stdin, end at once when the standard input is closed. Needs the running event loop."""
    if environment.get("STAND_IN_PARENT") == "stdin":
        # Nobody ever writes there: readable means that the parent is gone, however it went.
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), os._exit, 1)


def end_on_signals(ending: asyncio.Event) -> None:
    """Set `ending` at SIGTERM and SIGINT."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)


async def first(*events: asyncio.Event) -> None:
    """Return when one of them is set."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


async def load(load_s: float, speed: float, *endings: asyncio.Event, out_of_memory: str = "") -> bool:
    """Weights, compilation, warm-up: simulated time passes. False if the engine ran out of memory, with this text."""
    say(f"loading for {load_s:g} simulated seconds")
    duration_s = load_s / speed
    try:
        # What is too small for the model shows after the weights, before the warm-up.
        await asyncio.wait_for(first(*endings), duration_s / 2 if out_of_memory else duration_s)
    except TimeoutError:
        if out_of_memory:
            say(out_of_memory)
            return False
    return True
