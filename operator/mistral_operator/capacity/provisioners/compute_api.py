"""What Compute Engine and the Resource Manager tell of a project, over REST. For reading only.

Each call is tried once, with a deadline, and answers what was asked or raises a `CloudError` in the cloud's own words.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Self

from mistral_operator.capacity.preflight.facts import Quota, ReservationView
from mistral_operator.capacity.provisioners.google_rest import DEADLINE_S, GoogleRest, Json

_RESOURCE_MANAGER: Final = "https://cloudresourcemanager.googleapis.com"


class ComputeApi:
    """One project's quotas, reservations, zones and permissions. An async context manager."""

    def __init__(self, project: str, endpoint: str = "", deadline_s: float = DEADLINE_S) -> None:
        """`endpoint` empty is Google, with the default credentials; `http://host:port` is a simulated one, without."""
        self._project = project
        self._rest = GoogleRest(endpoint, deadline_s)

    @property
    def identity(self) -> str:
        """The service account that asks; empty for a person."""
        return self._rest.identity

    async def __aenter__(self) -> Self:
        """Raises CloudError when there are no credentials."""
        await self._rest.log_in()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._rest.close()

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
        url = f"{self._rest.base(_RESOURCE_MANAGER)}/v1/projects/{self._project}:testIamPermissions"
        answer = await self._rest.send("POST", url, json={"permissions": list(names)})
        return frozenset(answer.get("permissions", ()))

    def _base(self, project: str) -> str:
        return f"{self._rest.base()}/compute/v1/projects/{project}"

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
        return await self._rest.send("GET", url, params=query or {})


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
