"""Names that other programs rely on: group, labels, annotations, finalizer, field managers."""

from typing import Final

GROUP: Final = "serving.mistral-operator.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

MODEL_KIND: Final = "MistralModel"
MODEL_PLURAL: Final = "mistralmodels"
CLAIM_KIND: Final = "NodePoolClaim"
CLAIM_PLURAL: Final = "nodepoolclaims"
CLASS_KIND: Final = "MistralServingClass"
CLASS_PLURAL: Final = "mistralservingclasses"

FIELD_MANAGER: Final = "mistral-operator"
STATUS_FIELD_MANAGER: Final = "mistral-operator-status"
CLAIM_FINALIZER: Final = f"{GROUP}/node-pool"

MANAGED_BY_LABEL: Final = "app.kubernetes.io/managed-by"
MANAGED_BY: Final = "mistral-operator"
APP_NAME_LABEL: Final = "app.kubernetes.io/name"
APP_INSTANCE_LABEL: Final = "app.kubernetes.io/instance"

MODEL_LABEL: Final = f"{GROUP}/model"
"""On every object of a model: the model's name (same namespace)."""
REVISION_LABEL: Final = f"{GROUP}/revision"
"""On pods and ControllerRevisions: the pinned plan's hash."""
PART_LABEL: Final = f"{GROUP}/part"
"""On workload, revisions and pods of each part of a spread model but the first: its number, such as `2`."""
CLAIM_LABEL: Final = f"{GROUP}/claim"
"""On ControllerRevisions: the NodePoolClaim that the revision's pods need."""
SHAPE_LABEL: Final = f"{GROUP}/shape"
"""On nodes, set through the node pool, and in the pods' node selector: the claim's shape, never the pool's name."""
ACCELERATOR_LABEL: Final = f"{GROUP}/accelerator"
"""On nodes that aren't of GKE, set by a person: the catalogue id of what they have, such as `h100-80`."""
ROLE_LABEL: Final = f"{GROUP}/role"
"""On every pod of a model: `leader` for the one pod of a replica that answers requests and reports metrics."""
LEADER_ROLE: Final = "leader"
WORKER_ROLE: Final = "worker"
"""On the pods of a multi-host slice that are not its leader."""
CONVERTER_ROLE: Final = "converter"
"""On the pod of a conversion. It lacks MODEL_LABEL, by which workloads, budgets and autoscalers select replicas; its
APP_INSTANCE_LABEL has the model's name.
"""

DEFAULT_CLASS_ANNOTATION: Final = f"{GROUP}/is-default-class"
"""On a MistralServingClass: `true` makes it that of models which name none, as with a StorageClass."""
DRIFT_ANNOTATION: Final = f"{GROUP}/drift"
"""On a NodePoolClaim: `Report`, `Repair` or `Replace`, what to do about a pool that somebody changed."""
APPLIED_HASH_ANNOTATION: Final = f"{GROUP}/applied-hash"
"""On every object that the operator applies: the hash of the manifest as rendered, to see drift without a read."""

CLAIM_RESOURCE_LABEL: Final = "mistral-operator-claim"
"""On GKE node pools (resource labels): the claim that owns the pool."""
TENANT_RESOURCE_LABEL: Final = "mistral-operator-tenant"
SHAPE_RESOURCE_LABEL: Final = "mistral-operator-shape"
CLUSTER_RESOURCE_LABEL: Final = "mistral-operator-cluster"
"""The Kubernetes cluster whose operator made the pool: the uid of its namespace kube-system."""
