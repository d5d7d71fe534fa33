"""Fixtures for tests of where the sandbox's real programs come from."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Keep pytest's output clean."""


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    """Serve a directory on loopback, and get its address."""
    with ExitStack() as servers:

        def start(directory: Path) -> str:
            handler = partial(QuietHandler, directory=str(directory))
            server = servers.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), handler))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            servers.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}"

        yield start


@pytest.fixture
def fake_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Install a shell script as go."""

    def install(script: str) -> None:
        tools = tmp_path / "tools"
        tools.mkdir()
        tools.joinpath("go").write_text(script)
        tools.joinpath("go").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")

    return install
