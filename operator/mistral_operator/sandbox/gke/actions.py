"""What happens to the simulated GKE from outside: Google, its hosts, and people with a console.

The control API and a scenario's timeline do the same things by the same names, with the same bodies:

stock               {"nodes": 0, "zone": "us-central1-a", "machine_type": "g2-standard-4", "mode": "spot"}
quota               {"limit": 0, "accelerator": "nvidia-l4", "mode": "on-demand"}
instance-errors     an instance error as in a scenario file
reservations        a reservation as in a scenario file, new or instead of the one of that project, zone and name
workload-policies   a workload policy as in a scenario file
faults              a fault as in a scenario file
reclaim             a notice of 30 s, as spot machines get it, then the machine is gone
delete-node         the machine is gone at once
host-error          the node is NotReady and its pods are dead, a while later the machine is gone
maintain            the node says when its host is maintained; then it is tainted, drained and gone
upgrade             {"version": "1.36.4-gke.1000000"}: of the control plane, then of all pools with auto-upgrade
exclude             a maintenance exclusion as in a scenario file, its seconds counted from now
resize-pool         {"pool": NAME, "nodes": 2}: so many in each zone
autoscale-pool      {"pool": NAME, "enabled": true, "total_max_node_count": 3}
edit-pool           {"pool": NAME, "labels": {"labels": {…}}, "taints": {"taints": […]}}, as UpdateNodePool has them
delete-pool         {"pool": NAME}
condition           {"pool": NAME, "code": "GKE_SERVICE_ACCOUNT_DELETED", "message": TEXT}; without code all is well
occupy-cluster      {"seconds": 60}: somebody changes the cluster, and nothing else can

Those about a machine take {"node": NAME}, or {"pool": NAME} for the first machine of a pool that runs ("*": of the
first pool with GPUs or TPUs), and answer {"node": NAME}. What people do keeps GKE's rules and its one operation at a
time.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import grpc
from google.cloud import container_v1
from google.protobuf.json_format import ParseDict, ParseError

from .errors import Failure
from .plain_data import ScenarioError
from .pools import Condition, Instance, Pool, PoolStatus
from .rules import BoundsPb
from .scenario import (
    parse_exclusion,
    parse_fault,
    parse_instance_error,
    parse_policy,
    parse_quota,
    parse_reservation,
    parse_stock,
)

if TYPE_CHECKING:
    from .simulated import GkeApi, Loss

UpdatePb = container_v1.UpdateNodePoolRequest.pb()
Body = Mapping[str, Any]
Answer = dict[str, Any]


class NoNodeError(LookupError):
    """There is no machine like that (yet)."""


class Actions:
    """`do` raises ScenarioError for a body that makes no sense, NoNodeError, and RpcError when GKE refuses."""

    def __init__(self, api: "GkeApi") -> None:
        self._api = api
        fleet, warehouse = api.fleet, api.warehouse
        self._table: dict[str, Callable[[Body], Answer]] = {
            "stock": _enter(parse_stock, warehouse.set_stock),
            "quota": _enter(parse_quota, warehouse.set_quota),
            "instance-errors": _enter(parse_instance_error, warehouse.set_error),
            "reservations": _enter(parse_reservation, warehouse.reservations.put),
            "workload-policies": _enter(parse_policy, api.policies.create),
            "faults": _enter(parse_fault, api.faults.add),
            "exclude": _enter(parse_exclusion, api.upgrades.exclude),
            "reclaim": lambda body: self._lose(body, fleet.reclaim),
            "delete-node": lambda body: self._lose(body, fleet.crash),
            "host-error": lambda body: self._lose(body, fleet.break_down),
            "maintain": lambda body: self._lose(body, fleet.maintain),
            "upgrade": self._upgrade,
            "resize-pool": self._resize,
            "autoscale-pool": self._autoscale,
            "edit-pool": self._edit,
            "delete-pool": lambda body: _started(api.cloud.delete(_text(body, "pool"))),
            "condition": self._condition,
            "occupy-cluster": lambda body: _started(api.cloud.occupy(_number(body, "seconds"))),
        }

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._table)

    def do(self, name: str, body: Body) -> Answer:
        """Let it happen; what takes time goes on by itself."""
        if name not in self._table:
            raise ScenarioError(f"{name!r} is not one of {', '.join(self._table)}")
        return self._table[name](body)

    def _find(self, body: Body) -> tuple[Pool, Instance]:
        cloud = self._api.cloud
        if "pool" in body:
            found = cloud.running(body["pool"])
        else:
            node, pools = body.get("node", ""), cloud.pools.values()
            found = next(((pool, pool.instances[node]) for pool in pools if node in pool.instances), None)
        if not found:
            raise NoNodeError(f"no node like {dict(body)}")
        return found

    def _lose(self, body: Body, loss: "Loss") -> Answer:
        pool, instance = self._find(body)
        self._api.fleet.spawn(self._api.lose(pool, instance, loss))
        return {"node": instance.name}

    def _upgrade(self, body: Body) -> Answer:
        self._api.fleet.spawn(self._api.upgrades.run(_text(body, "version")))
        return {}

    def _resize(self, body: Body) -> Answer:
        return _started(self._api.cloud.resize(_text(body, "pool"), int(_number(body, "nodes"))))

    def _autoscale(self, body: Body) -> Answer:
        bounds = {key: value for key, value in body.items() if key != "pool"}
        return _started(self._api.cloud.set_autoscaling(_text(body, "pool"), _message(bounds, BoundsPb())))

    def _edit(self, body: Body) -> Answer:
        change = {key: value for key, value in body.items() if key != "pool"}
        return _started(self._api.cloud.update(_message(change, UpdatePb()), _text(body, "pool")))

    def _condition(self, body: Body) -> Answer:
        pool, code = self._api.cloud.find(_text(body, "pool")), body.get("code", "")
        if not code:
            del pool.message.conditions[:]
            pool.message.status, pool.message.status_message = PoolStatus.RUNNING, ""
            return {}
        if code not in Condition.__members__:
            raise ScenarioError(f"code: {code!r} is not one of {', '.join(Condition.__members__)}")
        pool.fail(Failure(grpc.StatusCode.FAILED_PRECONDITION, body.get("message", code), code))
        return {}


def _enter(parse: Callable[[Any], Any], enter: Callable[[Any], object]) -> Callable[[Body], Answer]:
    def act(body: Body) -> Answer:
        enter(parse(body))
        return {}

    return act


def _started(operation: Any) -> Answer:
    return {"operation": operation.name}


def _message(document: Body, message: Any) -> Any:
    try:
        return ParseDict(dict(document), message)
    except ParseError as error:
        raise ScenarioError(str(error)) from error


def _text(body: Body, key: str) -> str:
    if not isinstance(body.get(key), str):
        raise ScenarioError(f"{key}: write a text, not {body.get(key)!r}")
    return str(body[key])


def _number(body: Body, key: str) -> float:
    value = body.get(key)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or value < 0:
        raise ScenarioError(f"{key}: write a number of at least 0, not {value!r}")
    return value
