"""A headless Chromium that is spoken to by the DevTools protocol, and what a page in it did."""

import base64
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
MISSING: Final = (
    "no browser is found, so the report is not tested: install Debian's Chromium (apt-get install chromium), "
    "or name another one with make browser-test CHROMIUM=PATH"
)
_FLAGS: Final = (
    "--headless",
    "--remote-debugging-port=0",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--hide-scrollbars",
)
_WATCHED: Final = ("Page", "Runtime", "Network", "Log")


class BrowserError(Exception):
    """There is no browser, or it doesn't do as it is told."""


def find_browser() -> str:
    """The path in CHROMIUM, else the first browser that is found; raises BrowserError, which says what to install."""
    named = os.environ.get("CHROMIUM")
    found = shutil.which(named) if named else next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        raise BrowserError(f"CHROMIUM={named} is no program; {MISSING}" if named else MISSING)
    return found


@contextmanager
def running_browser(profile: Path) -> Iterator[str]:
    """Start a browser with a new profile in that folder; give the address of its DevTools; end it."""
    # Chromium's own sandbox refuses to work for root, who is usual in containers.
    flags = (*_FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else []), f"--user-data-dir={profile}")
    command = [find_browser(), *flags, "about:blank"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            said: list[str] = []
            for line in process.stderr:
                said.append(line)
                if match := re.match(r"DevTools listening on ws://([^/]+)/", line):
                    break
            else:
                raise BrowserError(f"{command[0]} ended at once and said: {''.join(said)}")
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield f"http://{match[1]}"
        finally:
            process.terminate()
            process.wait()


class Page:
    """A tab; `events` is all that the browser told of it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._calls = 0
        self.events: list[dict[str, Any]] = []

    async def open(self, url: str) -> None:
        """Load a page and wait until it and all its parts are there."""
        for domain in _WATCHED:
            await self.call(f"{domain}.enable")
        await self.call("Page.setLifecycleEventsEnabled", enabled=True)
        load = (await self.call("Page.navigate", url=url))["loaderId"]
        # An empty tab, and the page before, tell of their own ends.
        while not any(e["loaderId"] == load and e["name"] == "load" for e in self.told("Page.lifecycleEvent")):
            await self._hear()

    async def look(self, width: int, scheme: str) -> None:
        """Take a width in pixels, and `light` or `dark`."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        await self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    async def ask(self, script: str) -> Any:
        """The value of an expression in the page, or what it promises."""
        answer = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    async def shoot(self) -> bytes:
        """The whole page as PNG."""
        answer = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    def told(self, method: str) -> list[dict[str, Any]]:
        """What the browser told under this name."""
        return [event["params"] for event in self.events if event["method"] == method]

    def requested(self) -> list[str]:
        """Addresses that the page asked for."""
        return [event["request"]["url"] for event in self.told("Network.requestWillBeSent")]

    def complaints(self) -> list[dict[str, Any]]:
        """Everything on the console, from the page or from the browser, and every exception."""
        names = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [params for name in names for params in self.told(name)]

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self._calls += 1
        await self._socket.send_json({"id": self._calls, "method": method, "params": params})
        while (answer := await self._hear()).get("id") != self._calls:
            pass
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']}")
        return dict(answer["result"])

    async def _hear(self) -> dict[str, Any]:
        message = await self._socket.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise BrowserError(f"the browser hung up: {message}")
        heard: dict[str, Any] = json.loads(message.data)
        if "method" in heard:
            self.events.append(heard)
        return heard


@asynccontextmanager
async def new_page(devtools: str) -> AsyncIterator[Page]:
    """An empty tab of its own."""
    async with aiohttp.ClientSession() as session:
        async with session.put(f"{devtools}/json/new?about:blank") as response:
            target = await response.json()
        async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            yield Page(socket)
        async with session.get(f"{devtools}/json/close/{target['id']}") as response:
            response.raise_for_status()
