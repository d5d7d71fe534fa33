"""How to reach the API server: from inside a pod, or by a kubeconfig with any of its credential plugins.

The `kubernetes` package is imported when a connection is opened and not before: commands that need no cluster
start twice as fast without it.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from mistral_operator.cluster.errors import ApiError

_REFRESH_INTERVAL_S: Final = 5.0
_WATCHES: Final = 200
"""Watches have connections of their own, so that they never use up those of ordinary requests."""


class ConnectionSetupError(ApiError):
    """No usable kubeconfig, and not inside a cluster either; the message says what was tried."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What another HTTP client needs to reach the same API server as the same user."""

    server: str
    ca_path: str | None
    verify: bool
    authorization: str | None
    """The whole value of the Authorization header."""
    certificate_path: str | None
    private_key_path: str | None
    proxy_url: str | None


class Connection:
    """An API server and the credentials for it, kept fresh."""

    def __init__(self, configuration: Any, kubeconfig: Path | None, in_cluster: bool) -> None:
        from kubernetes.aio import client

        watching = client.Configuration()
        watching.__dict__.update(configuration.__dict__)
        watching.connection_pool_maxsize = _WATCHES
        self._configuration = configuration
        self._watching = watching
        self._kubeconfig = kubeconfig
        self._in_cluster = in_cluster
        self._refreshed_at = time.monotonic()
        self._refreshing = asyncio.Lock()
        self.requests: Any = client.ApiClient(configuration)
        """kubernetes.aio's client for ordinary requests."""
        self.watches: Any = client.ApiClient(watching)
        """The same for watches."""

    @classmethod
    async def open(cls, kubeconfig: Path | None) -> "Connection":
        """Loads the configuration; sends nothing to the API server. Raises ConnectionSetupError.

        Without a kubeconfig the pod's service account is used, and outside of a pod KUBECONFIG or ~/.kube/config.
        """
        from kubernetes.aio import client, config

        configuration = client.Configuration()
        in_cluster = kubeconfig is None and _load_in_cluster(configuration)
        if not in_cluster:
            try:
                await config.load_kube_config(
                    str(kubeconfig) if kubeconfig else None, client_configuration=configuration, persist_config=False
                )
            except (config.ConfigException, OSError) as error:
                raise ConnectionSetupError(0, "NoCluster", f"no way to reach a cluster: {error}") from error
        # aiohttp would ask the environment in a thread for each single request; the answer never changes.
        configuration.client_session_kwargs = {"trust_env": False}
        configuration.proxy = configuration.proxy or _find_proxy(configuration.host)
        return cls(configuration, kubeconfig, in_cluster)

    async def refresh(self) -> None:
        """Reads the credentials again after a 401; at most once in a few seconds, however many requests ask for it."""
        from kubernetes.aio import client, config

        async with self._refreshing:
            if time.monotonic() - self._refreshed_at < _REFRESH_INTERVAL_S:
                return
            fresh = client.Configuration()
            if self._in_cluster:
                _load_in_cluster(fresh)
            else:
                path = str(self._kubeconfig) if self._kubeconfig else None
                await config.load_kube_config(path, client_configuration=fresh, persist_config=False)
            for configuration in (self._configuration, self._watching):
                configuration.api_key = fresh.api_key
                configuration.refresh_api_key_hook = fresh.refresh_api_key_hook
            self._refreshed_at = time.monotonic()

    async def credentials(self) -> Credentials:
        """The credentials as they are now, for kopf's own connection."""
        configuration = self._configuration
        keys: Mapping[str, str] = configuration.api_key
        if configuration.refresh_api_key_hook is not None:
            await configuration.get_api_key_with_prefix("BearerToken")
        return Credentials(
            server=configuration.host,
            ca_path=configuration.ssl_ca_cert,
            verify=configuration.verify_ssl,
            authorization=keys.get("BearerToken"),
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
            proxy_url=configuration.proxy,
        )

    async def close(self) -> None:
        """Closes all connections; watches that still run end with an error."""
        await asyncio.gather(self.requests.close(), self.watches.close())


def _find_proxy(server: str) -> str | None:
    """The proxy that the environment (HTTPS_PROXY, NO_PROXY, …) asks for on the way to that server."""
    parts = urlsplit(server)
    if not parts.hostname or proxy_bypass(parts.netloc):
        return None
    return getproxies().get(parts.scheme)


def _load_in_cluster(configuration: Any) -> bool:
    from kubernetes.aio import config

    try:
        config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException:
        return False
    return True
