"""What the operator may do in Kubernetes, one line for each kind. Roles and the page about them are made from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mistral_operator.cluster.kinds import (
    CLAIM,
    COMPUTE_CLASS,
    CONTAINER_NODE_POOL,
    DEPLOYMENT,
    EVENT,
    HPA,
    JOB,
    LEADER_WORKER_SET,
    LEASE,
    MODEL,
    NAMESPACE,
    NODE,
    PDB,
    POD,
    REVISION,
    SERVICE,
    SERVING_CLASS,
    Kind,
)

_READ: Final = ("get", "list", "watch")
_OWN: Final = (*_READ, "create", "patch", "delete")

_MODELS: Final = "Models are people's: read, and never written but for their status."
_CLAIMS: Final = "Claims are the operator's own, cluster-wide, one for each node pool."
_CLASSES: Final = "Serving classes are the platform team's: read, and never written."
_STATUS: Final = "How models and claims fare."
_CHILDREN: Final = (
    "What a model owns. They are read one by one only where an object may be somebody else's, which is then left alone."
)
_REPLICAS: Final = (
    "How replicas fare, on which nodes. Only those with the operator's labels are watched; all pods on the nodes of a"
    " pool are listed when the policy for drift is `Replace` and it is to be made again."
)
_MARKS: Final = (
    "The deletion cost of a replica whose node is going to end, so that this one goes when its successor answers."
)
_CLUSTER_UID: Final = "Its uid tells this cluster from all others, in the labels of the node pools."
_EVENTS: Final = "What the cluster autoscaler says of pods, and what the operator says of models."
_POOL_OBJECTS: Final = "Node pools as objects, only with `--provisioner ConfigConnector`, and only in their namespace."
_COMPUTE_CLASSES: Final = (
    "One ComputeClass for each claim, only with `--provisioner ComputeClass`; others are only listed."
)
_LEASE: Final = "Who leads, only with `--leader-elect`, and only in the Lease's namespace."


@dataclass(frozen=True, slots=True)
class Grant:
    """Verbs on the objects of one kind, and what they are for. Neighbours with the same reason are shown together."""

    kind: Kind
    verbs: tuple[str, ...]
    why: str
    subresource: str = ""
    names: tuple[str, ...] = ()
    """Only objects of these names; empty: all. A `create` can't be held to names."""

    @property
    def resource(self) -> str:
        """As a role has it, such as `mistralmodels/status`."""
        return f"{self.kind.plural}/{self.subresource}" if self.subresource else self.kind.plural


CLUSTER_GRANTS: Final = (
    Grant(MODEL, _READ, _MODELS),
    Grant(CLAIM, _OWN, _CLAIMS),
    Grant(SERVING_CLASS, ("list", "watch"), _CLASSES),
    Grant(MODEL, ("patch",), _STATUS, "status"),
    Grant(CLAIM, ("patch",), _STATUS, "status"),
    Grant(DEPLOYMENT, _OWN, _CHILDREN),
    Grant(LEADER_WORKER_SET, _OWN, _CHILDREN),
    Grant(JOB, _OWN, _CHILDREN),
    Grant(REVISION, _OWN, _CHILDREN),
    Grant(SERVICE, _OWN, _CHILDREN),
    Grant(PDB, _OWN, _CHILDREN),
    Grant(HPA, _OWN, _CHILDREN),
    Grant(POD, ("list", "watch"), _REPLICAS),
    Grant(POD, ("patch",), _MARKS),
    Grant(NODE, ("list", "watch"), _REPLICAS),
    Grant(NAMESPACE, ("get",), _CLUSTER_UID, names=("kube-system",)),
    Grant(EVENT, ("list", "watch", "create"), _EVENTS),
)
"""In the whole cluster: a ClusterRole."""

LEASE_GRANTS: Final = (
    Grant(LEASE, ("create",), _LEASE),
    Grant(LEASE, ("get", "update"), _LEASE, names=("mistral-operator",)),
)
"""In the Lease's namespace: a Role."""

CONFIG_CONNECTOR_GRANTS: Final = (
    Grant(CONTAINER_NODE_POOL, ("get", "list", "create", "patch", "delete"), _POOL_OBJECTS),
)
"""In the namespace of the ContainerNodePools: a Role of its own."""
PROVISIONER_GRANTS: Final[Mapping[str, tuple[Grant, ...]]] = {
    "ComputeClass": (Grant(COMPUTE_CLASS, ("list", "create", "delete"), _COMPUTE_CLASSES),),
}
"""In the whole cluster, for each provisioner that needs more than its cloud's rights: a ClusterRole of its own."""
