"""What all stand-in engines do alike as processes: say what happens, load for a while, end when they are told to."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping


def say(text: str) -> None:
    """A line of the engine's log."""
    print(text, file=sys.stderr, flush=True)


def tell_started(environment: Mapping[str, str]) -> None:
    """STAND_IN_STARTED_FD is closed when the load begins."""
    if descriptor := environment.get("STAND_IN_STARTED_FD"):
        os.close(int(descriptor))


def end_on_signals(ending: asyncio.Event, environment: Mapping[str, str]) -> None:
    """Set `ending` at SIGTERM and SIGINT; with STAND_IN_PARENT=stdin also end with who holds our standard input."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    if environment.get("STAND_IN_PARENT") == "stdin":
        # Nobody ever writes there: readable means that the parent is gone, however it went.
        loop.add_reader(sys.stdin.fileno(), os._exit, 1)


async def load(load_s: float, speed: float, ending: asyncio.Event, out_of_memory: str = "") -> bool:
    """Weights, compilation, warm-up: simulated time passes. False if the engine ran out of memory, with this text."""
    say(f"loading for {load_s:g} simulated seconds")
    duration_s = load_s / speed
    try:
        # What is too small for the model shows after the weights, before the warm-up.
        await asyncio.wait_for(ending.wait(), duration_s / 2 if out_of_memory else duration_s)
    except TimeoutError:
        if out_of_memory:
            say(out_of_memory)
            return False
    return True
