"""The kinds that the operator reads or writes, and their paths in the API."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from mistral_operator.api import names


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object in one version of its API."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group; empty for the core group."""
        return self.api_version.rpartition("/")[0]

    def path(self, *, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of a collection (no name), an object, or its subresource.

        A namespaced kind without a namespace gives the collection of the whole cluster.
        """
        parts = ["api" if not self.group else "apis", self.api_version]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=""))
        if subresource:
            parts.append(subresource)
        return "/" + "/".join(parts)


MODEL: Final = Kind(names.API_VERSION, names.MODEL_KIND, names.MODEL_PLURAL)
CLAIM: Final = Kind(names.API_VERSION, names.CLAIM_KIND, names.CLAIM_PLURAL, namespaced=False)
SERVING_CLASS: Final = Kind(names.API_VERSION, names.CLASS_KIND, names.CLASS_PLURAL, namespaced=False)

DEPLOYMENT: Final = Kind("apps/v1", "Deployment", "deployments")
REVISION: Final = Kind("apps/v1", "ControllerRevision", "controllerrevisions")
SERVICE: Final = Kind("v1", "Service", "services")
PDB: Final = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
LEADER_WORKER_SET: Final = Kind("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", "leaderworkersets")
JOB: Final = Kind("batch/v1", "Job", "jobs")
HPA: Final = Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
POD: Final = Kind("v1", "Pod", "pods")
EVENT: Final = Kind("v1", "Event", "events")
NODE: Final = Kind("v1", "Node", "nodes", namespaced=False)
NAMESPACE: Final = Kind("v1", "Namespace", "namespaces", namespaced=False)
CONTAINER_NODE_POOL: Final = Kind("container.cnrm.cloud.google.com/v1beta1", "ContainerNodePool", "containernodepools")
COMPUTE_CLASS: Final = Kind("cloud.google.com/v1", "ComputeClass", "computeclasses", namespaced=False)
LEASE: Final = Kind("coordination.k8s.io/v1", "Lease", "leases")

CHILDREN: Final = (DEPLOYMENT, LEADER_WORKER_SET, JOB, SERVICE, PDB, HPA, REVISION)
"""What a MistralModel owns, directly."""
WORKLOADS: Final = (DEPLOYMENT, LEADER_WORKER_SET)
"""What runs replicas."""
OPTIONAL: Final = (LEADER_WORKER_SET, SERVING_CLASS)
"""Kinds that a cluster may lack: somebody has to install the controller that they come with, or, of our own, the
definitions of this version.
"""

_OTHERS: Final = (MODEL, CLAIM, SERVING_CLASS, POD, EVENT, NODE, NAMESPACE, CONTAINER_NODE_POOL, COMPUTE_CLASS, LEASE)
_KNOWN: Final[Mapping[tuple[str, str], Kind]] = {(kind.api_version, kind.kind): kind for kind in (*CHILDREN, *_OTHERS)}


def find_kind(api_version: str, kind: str) -> Kind:
    """The known kind of that name; raises LookupError for one that the operator doesn't handle."""
    try:
        return _KNOWN[api_version, kind]
    except KeyError:
        raise LookupError(f"the operator does not handle {kind} in {api_version}") from None


def kind_of(manifest: Mapping[str, Any]) -> Kind:
    """The kind of an object as JSON; raises LookupError for one that the operator doesn't handle."""
    return find_kind(str(manifest.get("apiVersion", "")), str(manifest.get("kind", "")))
