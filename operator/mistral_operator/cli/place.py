"""Which GKE cluster a command is about: by its options, the kubeconfig that gcloud wrote, or the metadata server."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import click
import yaml

from mistral_operator.capacity.advice import ClusterPlace

_GCLOUD_NAME: Final = re.compile(r"gke_(?P<project>[^_]+)_(?P<location>[^_]+)_(?P<cluster>.+)")
"""What `gcloud container clusters get-credentials` calls a cluster."""

Command = TypeVar("Command", bound=Callable[..., Any])


def take_endpoint(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    """Of an option: the address of a simulated service, or empty for Google's own. Raises BadParameter."""
    if value and not _is_endpoint(value):
        raise click.BadParameter(f"{value!r} is no such address; write http://HOST:PORT, or leave it out for Google's")
    return value


def _is_endpoint(value: str) -> bool:
    try:
        parts = urlsplit(value)
        named = bool(parts.hostname and parts.port)
    except ValueError:
        return False
    return named and parts.scheme == "http" and parts.path in ("", "/") and not (parts.query or parts.fragment)


@dataclass(frozen=True, slots=True)
class Named:
    """What was said of the cluster; empty where nothing was."""

    project: str = ""
    location: str = ""
    cluster: str = ""


def place_options(command: Command) -> Command:
    """The options that name a cluster, but for its location."""
    for option in (
        click.option(
            "--container-api",
            callback=take_endpoint,
            default="",
            metavar="URL",
            help="A simulated GKE instead of Google's.",
        ),
        click.option("--cluster", help="Name of the cluster. Else as the kubeconfig names it."),
        click.option("--project", help="Google Cloud project. Else as the kubeconfig names it."),
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Simulated services to ask instead of Google's; empty where it is Google's own."""

    container_api: str = ""
    compute_api: str = ""


COMPUTE_OPTION: Final = click.option(
    "--compute-api",
    callback=take_endpoint,
    default="",
    metavar="URL",
    help="A simulated Compute Engine instead of Google's; beside a simulated GKE there is none without it.",
)


def find_cluster_place(given: Named, kubeconfig: Path | None) -> ClusterPlace:
    """The cluster. Raises UsageError that says what to give."""
    known = read_gcloud_name(kubeconfig)
    import asyncio

    from mistral_operator.controller.options import RunOptions
    from mistral_operator.controller.place import UnknownPlaceError, find_place

    options = RunOptions(
        project=given.project or known.project,
        location=given.location or known.location,
        cluster=given.cluster or known.cluster,
    )
    try:
        return asyncio.run(find_place(options))
    except UnknownPlaceError as error:
        raise click.UsageError(str(error)) from None


def read_gcloud_name(kubeconfig: Path | None) -> Named:
    """What the current context's cluster is called, if gcloud named it; nothing where that can't be read."""
    for path in _kubeconfigs(kubeconfig):
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            current = content["current-context"]
            context = next(item["context"] for item in content["contexts"] if item["name"] == current)
        except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, StopIteration):
            continue
        found = _GCLOUD_NAME.fullmatch(str(context.get("cluster", "")))
        return Named(**found.groupdict()) if found else Named()
    return Named()


def _kubeconfigs(given: Path | None) -> list[Path]:
    if given:
        return [given]
    listed = [Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return listed or [Path.home() / ".kube" / "config"]
