"""The control API, JSON over HTTP on loopback: tests and chaos look into the simulated GKE and make it fail.

GET    /state                    pools with nodes, operations, the log of calls, stock, quota, reservations
POST   /ACTION                   each action of actions.py, with its body
DELETE /faults                   clears all; so does /instance-errors
DELETE /reservations/NAME        and /workload-policies/NAME

What makes no sense is answered 400, a node that isn't there 404, and what GKE refuses 409, each with the reason.
"""

import dataclasses
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any

from aiohttp import web
from google.protobuf.json_format import MessageToDict

from .actions import NoNodeError
from .errors import RpcError
from .plain_data import ScenarioError, mapping
from .pools import Instance, Pool, PoolStatus

if TYPE_CHECKING:
    from .simulated import GkeApi


class ControlApi:
    """The HTTP server."""

    def __init__(self, api: "GkeApi") -> None:
        self._api = api
        app = web.Application()
        app.add_routes(
            [
                web.get("/state", self._state),
                web.delete("/faults", self._clear_faults),
                web.delete("/instance-errors", self._clear_errors),
                web.delete("/reservations/{name}", self._delete_reservation),
                web.delete("/workload-policies/{name}", self._delete_policy),
                web.post("/{action}", self._act),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self) -> str:
        """Listen on a free port of loopback; returns the URL."""
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def stop(self) -> None:
        """Close the port."""
        await self._runner.cleanup()

    async def _state(self, _: web.Request) -> web.Response:
        api = self._api
        return web.json_response(
            {
                "pools": [_describe(pool) for pool in api.cloud.pools.values()],
                "operations": [MessageToDict(o, preserving_proto_field_name=True) for o in api.operations],
                "calls": [dataclasses.asdict(call) for call in api.manager.calls],
                **api.warehouse.describe(),
                "reservations": [dataclasses.asdict(r) for r in api.inventory.reservations()],
                "workload_policies": [dataclasses.asdict(p) for p in api.policies.all()],
            }
        )

    async def _act(self, request: web.Request) -> web.Response:
        action = request.match_info["action"]
        if action not in self._api.actions.names:
            raise web.HTTPNotFound(text=f"no action {action}; there are {', '.join(self._api.actions.names)}")
        try:
            return web.json_response(self._api.actions.do(action, mapping(await request.json(), action)))
        except NoNodeError as error:
            raise web.HTTPNotFound(text=str(error)) from error
        except (ScenarioError, JSONDecodeError) as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        except RpcError as error:
            raise web.HTTPConflict(text=str(error)) from error

    async def _clear_faults(self, _: web.Request) -> web.Response:
        self._api.faults.clear()
        return web.json_response({})

    async def _clear_errors(self, _: web.Request) -> web.Response:
        self._api.warehouse.clear_errors()
        return web.json_response({})

    async def _delete_reservation(self, request: web.Request) -> web.Response:
        self._api.warehouse.reservations.remove(request.match_info["name"])
        return web.json_response({})

    async def _delete_policy(self, request: web.Request) -> web.Response:
        try:
            self._api.policies.delete(request.match_info["name"])
        except RpcError as error:
            raise web.HTTPConflict(text=str(error)) from error
        return web.json_response({})


def _describe(pool: Pool) -> dict[str, Any]:
    return {
        "name": pool.name,
        "status": PoolStatus(pool.message.status).name,
        "machine_type": pool.machine.name,
        "mode": pool.mode,
        "spot": pool.spot,
        "autoscaled": pool.autoscaled,
        "topology": pool.topology,
        "repairing": pool.repairing,
        "message": MessageToDict(pool.message, preserving_proto_field_name=True),
        "nodes": [_describe_instance(instance) for instance in pool.instances.values()],
    }


def _describe_instance(instance: Instance) -> dict[str, Any]:
    return {
        "name": instance.name,
        "zone": instance.zone,
        "version": instance.version,
        "reservation": instance.want.held.name if instance.want.held else "",
        "state": instance.state.value,
        "devices_ready": instance.devices_ready,
        "address": instance.address,
    }
