"""Where the cluster is: from the options, else from the metadata server that every GKE node has."""

import asyncio
import logging
from typing import Final

import aiohttp

from mistral_operator.capacity.advice import ClusterPlace
from mistral_operator.cluster.client import ApiClient
from mistral_operator.cluster.errors import ApiError, Forbidden
from mistral_operator.cluster.kinds import NAMESPACE
from mistral_operator.controller.options import RunOptions

METADATA_SERVER: Final = "http://metadata.google.internal"
_HEADERS: Final = {"Metadata-Flavor": "Google"}
_PATHS: Final = {
    "project": "project/project-id",
    "location": "instance/attributes/cluster-location",
    "cluster": "instance/attributes/cluster-name",
}
_TIMEOUT: Final = aiohttp.ClientTimeout(total=5)
_SYSTEM: Final = "kube-system"
_RETRY_S: Final = 5.0
_GKE_VERSION: Final = "-gke."

log = logging.getLogger(__name__)


class UnknownPlaceError(Exception):
    """Neither the options nor a metadata server say where the cluster is."""


async def find_place(options: RunOptions, metadata_server: str = METADATA_SERVER) -> ClusterPlace:
    """Project, location and name of the cluster; asks the metadata server only for what the options leave open."""
    given = {name: getattr(options, name) for name in _PATHS}
    if all(given.values()):
        return ClusterPlace(**given)
    async with aiohttp.ClientSession(timeout=_TIMEOUT, headers=_HEADERS) as session:
        try:
            found = {name: given[name] or await _ask(session, metadata_server, path) for name, path in _PATHS.items()}
        except (aiohttp.ClientError, TimeoutError) as error:
            missing = ", ".join(f"--{name}" for name, value in given.items() if not value)
            raise UnknownPlaceError(
                f"outside of GKE the cluster must be named; give {missing} ({error or 'no answer'})"
            ) from error
    return ClusterPlace(**found)


async def find_gke_cluster(
    options: RunOptions, client: ApiClient, metadata_server: str = METADATA_SERVER
) -> ClusterPlace | None:
    """The same, or None where the cluster isn't one of GKE.

    A metadata server that is silent proves nothing, but every API server of GKE names itself so in its version. Raises
    UnknownPlaceError where it is one of GKE, or options say so, and it can't be found out which.
    """
    try:
        return await find_place(options, metadata_server)
    except UnknownPlaceError:
        if any(getattr(options, name) for name in _PATHS) or await _names_itself_gke(client):
            raise
    log.warning(
        "This is no cluster of GKE, and no other was named: no node pools are made, and models run only on nodes that"
        " are there (provisioner Existing). Elsewhere give --project, --location and --cluster"
    )
    return None


async def _names_itself_gke(client: ApiClient) -> bool:
    """Asks until the API server answers."""
    while True:
        try:
            version = await client.read("/version")
        except ApiError as error:
            log.warning("The API server's version can't be read, trying again in %.0f s: %s", _RETRY_S, error)
            await asyncio.sleep(_RETRY_S)
            continue
        return _GKE_VERSION in str(version.get("gitVersion", ""))


async def find_cluster_uid(client: ApiClient) -> str:
    """What tells this Kubernetes cluster from all others; empty where the operator may not know it.

    Asks until the API server answers.
    """
    while True:
        try:
            system = await client.get(NAMESPACE, _SYSTEM)
        except Forbidden as error:
            log.warning("Node pools that have lost their claims will only be reported: %s", error)
            return ""
        except ApiError as error:
            log.warning("The cluster's uid can't be read, trying again in %.0f s: %s", _RETRY_S, error)
            await asyncio.sleep(_RETRY_S)
            continue
        return str(system["metadata"]["uid"]) if system else ""


async def _ask(session: aiohttp.ClientSession, server: str, path: str) -> str:
    async with session.get(f"{server}/computeMetadata/v1/{path}") as answer:
        answer.raise_for_status()
        return (await answer.text()).strip()
