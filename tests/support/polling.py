"""Waiting for what will become true, with a deadline: tests never sleep for a fixed time."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

INTERVAL_S = 0.05


@overload
async def eventually(
    predicate: Callable[[], Awaitable[T | None]],
    timeout_s: float = ...,
    message: str | Callable[[], str] = ...,
    *,
    interval_s: float = ...,
) -> T: ...


@overload
async def eventually(
    predicate: Callable[[], T | None],
    timeout_s: float = ...,
    message: str | Callable[[], str] = ...,
    *,
    interval_s: float = ...,
) -> T: ...


async def eventually(
    predicate: Callable[[], Any],
    timeout_s: float = 30,
    message: str | Callable[[], str] = "",
    *,
    interval_s: float = INTERVAL_S,
) -> Any:
    """Poll `predicate` (plain or async) until it gives something true, and return that.

    AssertionErrors and LookupErrors inside the predicate count as "not yet". Raises AssertionError after `timeout_s`,
    with `message` (or what it returns, for a state worth seeing) and the last value or error.
    """
    deadline = time.monotonic() + timeout_s
    last: object = None
    while True:
        try:
            value = predicate()
            if inspect.isawaitable(value):
                value = await value
            if value:
                return value
            last = value
        except (AssertionError, LookupError) as error:
            last = error
        if time.monotonic() > deadline:
            text = message() if callable(message) else message
            raise AssertionError(f"not within {timeout_s:g} s: {text or predicate}; last: {last!r}")
        await asyncio.sleep(interval_s)


async def observe_for(seconds: float) -> None:
    """Let time pass under observation: only for what must *not* happen, which no polling can show earlier."""
    await asyncio.sleep(seconds)
