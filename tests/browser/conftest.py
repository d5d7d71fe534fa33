"""One browser for all tests of the report, and one report."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from click.testing import CliRunner
from tests.browser.chromium import BrowserError, Page, new_page, running_browser

from mistral_operator.cli.main import main
from mistral_operator.cli.profile import DEFAULT, profile_to_dict

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPT = "<img src=x onerror=document.title='taken'><script>document.title='taken'"
"""What the cluster profile's file is called; the report names it."""


class Report(NamedTuple):
    """A saved page, and the same answers as JSON."""

    url: str
    answers: list[dict[str, Any]]


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Fails every test, with what to install, where there is no browser."""
    try:
        with running_browser(tmp_path_factory.mktemp("profile")) as devtools:
            yield devtools
    except BrowserError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


@pytest.fixture
async def page(browser: str) -> AsyncIterator[Page]:
    async with new_page(browser) as page:
        yield page


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Two models that are planned, and one that is refused; the cluster's file wants to run a script."""
    folder = tmp_path_factory.mktemp("report")
    names = ("mistral-small-24b", "mistral-7b-tpu")
    models = [yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8")) for name in names]
    models.append({**models[0], "metadata": {"name": "unknown"}, "spec": {"model": "mistral-7b-v0.33"}})
    (folder / "models.yaml").write_text(yaml.safe_dump_all(models), encoding="utf-8")
    cluster = folder / SCRIPT
    cluster.write_text(yaml.safe_dump(profile_to_dict(DEFAULT)), encoding="utf-8")
    saved = folder / "report.html"
    words = ["-f", folder / "models.yaml", "--cluster-profile", cluster, "-o", "json", "--html", saved]
    result = CliRunner().invoke(main, ["plan", *map(str, words)])
    assert result.exit_code == 1, result.output
    return Report(saved.as_uri(), json.loads(result.stdout))
