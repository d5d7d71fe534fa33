"""What Compute Engine and the Resource Manager tell of a project, over REST. For reading only.

Plain requests with Google's own credentials, not Google's client: decision 0015 says why. Each call is tried once,
with a deadline, and answers what was asked or raises a `CloudError` in the cloud's own words.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, Self
from urllib.parse import urlsplit

import aiohttp
import google.auth
import google.auth.exceptions
import google.auth.transport.requests

from mistral_operator.capacity.errors import CloudError, PermissionDeniedError, UnavailableError, classify
from mistral_operator.capacity.live_facts import Quota, ReservationView

DEADLINE_S: Final = 15.0
_COMPUTE: Final = "https://compute.googleapis.com"
_RESOURCE_MANAGER: Final = "https://cloudresourcemanager.googleapis.com"
_SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)
_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
}
Json = dict[str, Any]


class ComputeApi:
    """One project's quotas, reservations, zones and permissions. An async context manager."""

    def __init__(self, project: str, endpoint: str = "", deadline_s: float = DEADLINE_S) -> None:
        """`endpoint` empty is Google, with the default credentials; `http://host:port` is a simulated one, without."""
        self._project = project
        self._endpoint = endpoint.rstrip("/")
        self._deadline_s = deadline_s
        self._session: aiohttp.ClientSession | None = None
        self._headers: Mapping[str, str] = {}
        self.identity = ""
        """The service account that asks; empty for a person."""

    async def __aenter__(self) -> Self:
        """Raises CloudError when there are no credentials."""
        if not self._endpoint:
            await self._log_in()
        timeout = aiohttp.ClientTimeout(total=self._deadline_s)
        self._session = aiohttp.ClientSession(timeout=timeout, trust_env=not self._endpoint, headers=self._headers)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()

    async def read_quotas(self, region: str) -> Mapping[str, Quota]:
        """The quotas of a region by metric; those that are kept by family aren't among them."""
        return _quotas(await self._get(f"{self._base(self._project)}/regions/{region}"))

    async def read_project_quotas(self) -> Mapping[str, Quota]:
        """The quotas of the project in all regions together."""
        return _quotas(await self._get(self._base(self._project)))

    async def find_machine_zones(self, names: Iterable[str]) -> Mapping[str, frozenset[str]]:
        """The zones that list each machine type; being listed is not having stock."""
        return _zones_by_name(await self._aggregate(self._project, "machineTypes", names))

    async def find_gpu_zones(self, names: Iterable[str]) -> Mapping[str, frozenset[str]]:
        """The same for accelerator types."""
        return _zones_by_name(await self._aggregate(self._project, "acceleratorTypes", names))

    async def find_reservations(self, project: str, name: str) -> tuple[ReservationView, ...]:
        """The reservations of that name, in whatever zones."""
        found = await self._aggregate(project, "reservations", (name,))
        return tuple(_reservation(zone, item) for zone, item in found)

    async def test_permissions(self, names: Iterable[str]) -> frozenset[str]:
        """Those of the permissions that whoever asks has in the project."""
        url = f"{self._endpoint or _RESOURCE_MANAGER}/v1/projects/{self._project}:testIamPermissions"
        answer = await self._send("POST", url, json={"permissions": list(names)})
        return frozenset(answer.get("permissions", ()))

    def _base(self, project: str) -> str:
        return f"{self._endpoint or _COMPUTE}/compute/v1/projects/{project}"

    async def _aggregate(self, project: str, kind: str, names: Iterable[str]) -> list[tuple[str, Json]]:
        """Zone and item of all pages of a list over all zones."""
        query = {"filter": " OR ".join(f'(name = "{name}")' for name in names)}
        found: list[tuple[str, Json]] = []
        while True:
            answer = await self._get(f"{self._base(project)}/aggregated/{kind}", query)
            for scope, content in (answer.get("items") or {}).items():
                found += [(scope.removeprefix("zones/"), item) for item in content.get(kind, ())]
            if not answer.get("nextPageToken"):
                return found
            query["pageToken"] = answer["nextPageToken"]

    async def _get(self, url: str, query: Mapping[str, str] | None = None) -> Json:
        return await self._send("GET", url, params=query or {})

    async def _send(self, verb: str, url: str, **content: Any) -> Json:
        assert self._session is not None, "entered before it is asked"
        where = urlsplit(url).netloc
        try:
            async with self._session.request(verb, url, **content) as answer:
                if answer.status >= 400:
                    raise _refusal(where, answer.status, await answer.text())
                body = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            why = str(error) or f"nothing came within {self._deadline_s:g} s"
            raise UnavailableError(f"no answer from {where}: {why}", verbatim=False) from error
        if not isinstance(body, dict):
            raise UnavailableError(f"the answer from {where} is no object: {str(body)[:200]}", verbatim=False)
        return body

    async def _log_in(self) -> None:
        try:
            async with asyncio.timeout(self._deadline_s):
                credentials = await asyncio.to_thread(_find_credentials)
        except google.auth.exceptions.TransportError as error:
            raise UnavailableError(str(error), verbatim=False) from error
        except google.auth.exceptions.GoogleAuthError as error:
            raise PermissionDeniedError(str(error), verbatim=False) from error
        except TimeoutError as error:
            raise UnavailableError(f"no credentials within {self._deadline_s:g} s", verbatim=False) from error
        self.identity = str(getattr(credentials, "service_account_email", "") or "")
        quota_project = getattr(credentials, "quota_project_id", None)
        self._headers = {
            "Authorization": f"Bearer {credentials.token}",
            **({"X-Goog-User-Project": quota_project} if quota_project else {}),
        }


def _find_credentials() -> Any:
    """The default credentials with a token, which is good for longer than all of this takes. Blocks."""
    credentials, _ = google.auth.default(scopes=_SCOPES)
    credentials.refresh(google.auth.transport.requests.Request())
    return credentials


def _refusal(where: str, status: int, text: str) -> CloudError:
    """The error in Google's JSON, or in whatever a proxy in between wrote, which is not Google's word."""
    code = _STATUSES.get(status, "UNAVAILABLE")
    try:
        return classify(code, str(json.loads(text)["error"]["message"]))
    except (ValueError, KeyError, TypeError):
        return classify(code, f"HTTP {status} from {where}: {text[:500]}".removesuffix(": "), verbatim=False)


def _quotas(resource: Json) -> dict[str, Quota]:
    return {
        quota["metric"]: Quota(limit=float(quota.get("limit", 0)), usage=float(quota.get("usage", 0)))
        for quota in resource.get("quotas", ())
        if quota.get("metric")
    }


def _zones_by_name(found: Iterable[tuple[str, Json]]) -> dict[str, frozenset[str]]:
    zones: dict[str, set[str]] = {}
    for zone, item in found:
        zones.setdefault(str(item.get("name", "")), set()).add(zone)
    return {name: frozenset(where) for name, where in zones.items()}


def _reservation(zone: str, item: Json) -> ReservationView:
    status, machines = str(item.get("status", "")), item.get("specificReservation")
    if machines is None:
        # TPUs are reserved by family; the fields are those of Compute Engine's reference, and not tried against it.
        family = str((item.get("aggregateReservation") or {}).get("vmFamily", ""))
        return ReservationView(zone, machine_type="", count=None, in_use=0, status=status, family=family)
    return ReservationView(
        zone=zone,
        machine_type=str((machines.get("instanceProperties") or {}).get("machineType", "")).rpartition("/")[2],
        count=int(machines.get("count", 0)),
        in_use=int(machines.get("inUseCount", 0)),
        status=status,
    )
