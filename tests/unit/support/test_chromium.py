"""Where there is no browser, its tests say what to install."""

from pathlib import Path

import pytest
from tests.browser.chromium import BrowserError, find_browser, running_browser


def test_a_missing_browser_is_an_error_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BrowserError, match=r"apt-get install chromium.*CHROMIUM=PATH"):
        find_browser()


def test_a_named_browser_has_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMIUM", "/nowhere/chromium")
    with pytest.raises(BrowserError, match=r"CHROMIUM=/nowhere/chromium is no program.*apt-get install chromium"):
        find_browser()


def test_a_browser_that_ends_at_once_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "chromium"
    broken.write_text("#!/bin/sh\necho no libfoo >&2\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CHROMIUM", str(broken))
    with pytest.raises(BrowserError, match="ended at once and said: no libfoo"), running_browser(tmp_path / "profile"):
        pass
