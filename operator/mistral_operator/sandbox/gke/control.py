"""The control API, JSON over HTTP on loopback: tests and chaos look into the simulated GKE and make it fail.

GET  /state        pools with nodes, operations, the log of calls, stock and quota
POST /stock        {"nodes": 0, "zone": "us-central1-a", "machine_type": "g2-standard-4", "mode": "spot"}
POST /quota        {"limit": 0, "accelerator": "nvidia-l4", "mode": "on-demand"}
POST /faults       a fault as in a scenario file; DELETE /faults clears all
POST /reclaim      {"node": NAME}: a notice, as for spot and maintenance, then the machine is gone
POST /delete-node  {"node": NAME}: the machine is gone at once
POST /host-error   {"node": NAME}: the node is NotReady and its pods are dead, a while later the machine is gone

These three take {"pool": NAME} too, for the first machine of the pool that runs, and answer {"node": NAME}.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

from aiohttp import web
from google.protobuf.json_format import MessageToDict

from .pools import Instance, Pool, PoolStatus
from .scenario import ScenarioError, parse_fault, parse_quota, parse_stock

if TYPE_CHECKING:
    from .simulated import GkeApi, Loss


class ControlApi:
    """The HTTP server."""

    def __init__(self, api: "GkeApi") -> None:
        self._api = api
        app = web.Application()
        app.add_routes(
            [
                web.get("/state", self._state),
                web.post("/stock", self._stock),
                web.post("/quota", self._quota),
                web.post("/faults", self._add_fault),
                web.delete("/faults", self._clear_faults),
                web.post("/reclaim", self._reclaim),
                web.post("/delete-node", self._delete_node),
                web.post("/host-error", self._host_error),
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
            }
        )

    async def _stock(self, request: web.Request) -> web.Response:
        self._api.warehouse.set_stock(await _read(request, parse_stock))
        return web.json_response({})

    async def _quota(self, request: web.Request) -> web.Response:
        self._api.warehouse.set_quota(await _read(request, parse_quota))
        return web.json_response({})

    async def _add_fault(self, request: web.Request) -> web.Response:
        self._api.faults.add(await _read(request, parse_fault))
        return web.json_response({})

    async def _clear_faults(self, _: web.Request) -> web.Response:
        self._api.faults.clear()
        return web.json_response({})

    async def _reclaim(self, request: web.Request) -> web.Response:
        return await self._lose(request, self._api.fleet.reclaim)

    async def _delete_node(self, request: web.Request) -> web.Response:
        return await self._lose(request, self._api.fleet.crash)

    async def _host_error(self, request: web.Request) -> web.Response:
        return await self._lose(request, self._api.fleet.break_down)

    def _find(self, node: str) -> tuple[Pool, Instance] | None:
        pools = self._api.cloud.pools.values()
        return next(((pool, pool.instances[node]) for pool in pools if node in pool.instances), None)

    async def _lose(self, request: web.Request, loss: "Loss") -> web.Response:
        body = await request.json()
        found = self._api.cloud.running(body["pool"]) if "pool" in body else self._find(body.get("node", ""))
        if not found:
            raise web.HTTPNotFound(text=f"no node like {body}")
        pool, instance = found
        self._api.fleet.spawn(self._api.lose(pool, instance, loss))
        return web.json_response({"node": instance.name})


async def _read(request: web.Request, parse: Any) -> Any:
    try:
        return parse(await request.json())
    except (ScenarioError, ValueError) as error:
        raise web.HTTPBadRequest(text=str(error)) from error


def _describe(pool: Pool) -> dict[str, Any]:
    return {
        "name": pool.name,
        "status": PoolStatus(pool.message.status).name,
        "machine_type": pool.machine.name,
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
        "state": instance.state.value,
        "devices_ready": instance.devices_ready,
        "address": instance.address,
    }
