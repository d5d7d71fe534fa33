"""The HTTP server: `compute.googleapis.com` and the one call of `cloudresourcemanager.googleapis.com`, on loopback."""

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from mistral_operator.sandbox.gke.faults import Faults
from mistral_operator.sandbox.gke.inventory import Inventory

from .answers import (
    FilterError,
    describe_project,
    describe_region,
    list_accelerator_types,
    list_machine_types,
    list_reservations,
    read_names,
)
from .policies import RefusedError, ResourcePolicies

STATUSES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
REASONS = {
    "ALREADY_EXISTS": "alreadyExists",
    "FAILED_PRECONDITION": "resourceInUseByAnotherResource",
    "INVALID_ARGUMENT": "invalid",
    "NOT_FOUND": "notFound",
}
PERMISSIONS = {"insert": "create"}
"""Call about resource policies → the verb of its permission, where that is another one."""
PAGE = 500
Listing = Callable[[frozenset[str]], Mapping[str, Any]]


class ComputeApi:
    """`url` once it has started. A scenario's faults strike its calls by names such as `compute.regions.get`."""

    def __init__(
        self, inventory: Inventory, faults: Faults, denied: frozenset[str] = frozenset(), page: int = PAGE
    ) -> None:
        """`denied`: permissions that nobody has. `page`: scopes in one answer to a list."""
        self._inventory = inventory
        self._faults = faults
        self._denied = denied
        self._page = page
        self.calls: list[str] = []
        self.url = ""
        app = web.Application()
        self._policies = ResourcePolicies(inventory.project, inventory.policies, faults)
        base = "/compute/v1/projects/{project}"
        policies = f"{base}/regions/{{region}}/resourcePolicies"
        app.add_routes(
            [
                web.get(base, self._project),
                web.get(f"{base}/regions/{{region}}", self._region),
                web.get(f"{base}/aggregated/{{kind}}", self._aggregated),
                web.get(f"{policies}", self._list_policies),
                web.post(f"{policies}", self._insert_policy),
                web.get(f"{policies}/{{name}}", self._get_policy),
                web.delete(f"{policies}/{{name}}", self._delete_policy),
                web.get(f"{base}/regions/{{region}}/operations/{{name}}", self._operation),
                web.post("/v1/projects/{project}:testIamPermissions", self._permissions),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self) -> None:
        """Listen on a free port."""
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def stop(self) -> None:
        """Close the port."""
        await self._runner.cleanup()

    async def _project(self, request: web.Request) -> web.Response:
        if refused := self._refuse("compute.projects.get") or self._stranger(request):
            return refused
        return web.json_response(describe_project(self._inventory))

    async def _region(self, request: web.Request) -> web.Response:
        if refused := self._refuse("compute.regions.get") or self._stranger(request):
            return refused
        region = request.match_info["region"]
        found = describe_region(self._inventory, region)
        if found is None:
            return _missing(f"projects/{self._inventory.project}/regions/{region}")
        return web.json_response(found)

    async def _aggregated(self, request: web.Request) -> web.Response:
        kind, project = request.match_info["kind"], request.match_info["project"]
        listings: dict[str, Listing] = {
            "machineTypes": lambda names: list_machine_types(self._inventory, names),
            "acceleratorTypes": lambda names: list_accelerator_types(self._inventory, names),
            "reservations": lambda names: list_reservations(self._inventory, project, names),
        }
        listing = listings.get(kind)
        if listing is None:
            return _missing(request.path)
        # Reservations may be another project's, which shares them.
        stranger = None if kind == "reservations" else self._stranger(request)
        if refused := self._refuse(f"compute.{kind}.list") or stranger:
            return refused
        try:
            found = listing(read_names(request.query.get("filter", "")))
        except FilterError as error:
            return _error(400, "invalid", str(error))
        return web.json_response(self._paged(found, int(request.query.get("pageToken") or 0)))

    def _paged(self, scopes: Mapping[str, Any], start: int) -> dict[str, Any]:
        names = sorted(scopes)
        end = start + self._page
        more = {"nextPageToken": str(end)} if end < len(names) else {}
        return {"items": {name: scopes[name] for name in names[start:end]}, **more}

    async def _list_policies(self, request: web.Request) -> web.Response:
        region = request.match_info["region"]

        def answer() -> dict[str, Any]:
            found = {policy["name"]: policy for policy in self._policies.list(region)}
            paged = self._paged(found, int(request.query.get("pageToken") or 0))
            return {"kind": "compute#resourcePolicyList", **paged, "items": list(paged["items"].values())}

        return self._answer("list", request, answer)

    async def _get_policy(self, request: web.Request) -> web.Response:
        place = request.match_info
        return self._answer("get", request, lambda: self._policies.get(place["region"], place["name"]))

    async def _insert_policy(self, request: web.Request) -> web.Response:
        body = await request.json()
        return self._answer("insert", request, lambda: self._policies.insert(request.match_info["region"], body))

    async def _delete_policy(self, request: web.Request) -> web.Response:
        place = request.match_info
        return self._answer("delete", request, lambda: self._policies.delete(place["region"], place["name"]))

    async def _operation(self, request: web.Request) -> web.Response:
        place = request.match_info
        refused = self._refuse("compute.regionOperations.get") or self._stranger(request)
        if refused:
            return refused
        try:
            return web.json_response(self._policies.operation(place["region"], place["name"]))
        except RefusedError as error:
            return _refused(error)

    def _answer(self, call: str, request: web.Request, answer: Callable[[], dict[str, Any]]) -> web.Response:
        """What a call about resource policies answers; the faults that strike it are `ResourcePolicies`'."""
        self.calls.append(f"compute.resourcePolicies.{call}")
        permission = f"compute.resourcePolicies.{PERMISSIONS.get(call, call)}"
        if permission in self._denied:
            path = request.path.removeprefix("/compute/v1/")
            return _error(403, "forbidden", f"Required '{permission}' permission for '{path}'", "PERMISSION_DENIED")
        try:
            return self._stranger(request) or web.json_response(answer())
        except RefusedError as error:
            return _refused(error)

    async def _permissions(self, request: web.Request) -> web.Response:
        if refused := self._refuse("resourcemanager.projects.testIamPermissions") or self._stranger(request):
            return refused
        asked = (await request.json()).get("permissions", ())
        granted = [name for name in asked if name not in self._denied]
        return web.json_response({"permissions": granted} if granted else {})

    def _stranger(self, request: web.Request) -> web.Response | None:
        project = request.match_info["project"]
        return None if project == self._inventory.project else _missing(f"projects/{project}")

    def _refuse(self, call: str) -> web.Response | None:
        self.calls.append(call)
        fault = self._faults.hit(call)
        if fault is None or not fault.code:
            return None
        return _error(STATUSES.get(fault.code, 500), "forbidden", fault.message, fault.code)


def _refused(error: RefusedError) -> web.Response:
    reason = REASONS.get(error.code, "forbidden")
    return _error(STATUSES.get(error.code, 500), reason, str(error), error.code)


def _missing(resource: str) -> web.Response:
    return _error(404, "notFound", f"The resource '{resource}' was not found", "NOT_FOUND")


def _error(code: int, reason: str, message: str, status: str = "") -> web.Response:
    errors = [{"message": message, "domain": "global", "reason": reason}]
    body = {"code": code, "message": message, "errors": errors, **({"status": status} if status else {})}
    return web.json_response({"error": body}, status=code)
