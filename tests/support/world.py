"""A cluster of plain dictionaries for one model: `sync`'s outcomes are applied to it, and pods are moved by hand."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from mistral_operator.api.model import MistralModel
from mistral_operator.api.names import (
    API_VERSION,
    CLAIM_LABEL,
    CLASS_KIND,
    DEFAULT_CLASS_ANNOTATION,
    MODEL_LABEL,
    REVISION_LABEL,
)
from mistral_operator.capacity.arbitration import Budget
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.catalogue.types import Catalogue
from mistral_operator.core.sync import sync
from mistral_operator.core.types import Observed, Outcome, PoolUse
from mistral_operator.manifests.revision import claims_of_revision
from mistral_operator.planning.types import ClusterProfile, Settings
from mistral_operator.status.pods import DELETION_COST, FINISHED

UID = "11111111-2222-3333-4444-555555555555"
START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CLUSTER = ClusterProfile(
    provider="GKE",
    project="sandbox",
    location="us-central1",
    cluster="sandbox",
    zones=("us-central1-a", "us-central1-b", "us-central1-c"),
    leader_worker_set=True,
)
SETTINGS = Settings(operator_version="0.1.0", images={"gateway": "registry.example/mistral-operator:0.1.0"})


def make_model(name: str = "chat", *, generation: int = 1, **spec: Any) -> dict[str, Any]:
    """A live MistralModel; a 7B model unless `spec` says otherwise."""
    return {
        "apiVersion": API_VERSION,
        "kind": "MistralModel",
        "metadata": {"name": name, "namespace": "team-a", "uid": UID, "generation": generation},
        "spec": {"replicas": 1, **({} if "model" in spec else {"model": "mistral-7b-v0.3"}), **spec},
    }


def make_class(name: str = "standard", *, default: bool = True, created: str = "", **spec: Any) -> dict[str, Any]:
    """A live MistralServingClass."""
    marked = {"annotations": {DEFAULT_CLASS_ANNOTATION: "true"}} if default else {}
    born = {"creationTimestamp": created or "2026-11-01T00:00:00Z"}
    return {
        "apiVersion": API_VERSION,
        "kind": CLASS_KIND,
        "metadata": {"name": name, "uid": f"uid-{name}", **born, **marked},
        "spec": spec,
    }


@dataclass
class World:
    """What the API server has of one model."""

    model: dict[str, Any] = field(default_factory=make_model)
    catalogue: Catalogue = field(default_factory=load_catalogue)
    settings: Settings = SETTINGS
    cluster: ClusterProfile = CLUSTER
    now: datetime = START
    children: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    claims: dict[str, dict[str, Any]] = field(default_factory=dict)
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    nodes: dict[str, str] = field(default_factory=dict)
    """Node → the claim whose pool it is in."""
    neighbours: int = 0
    """Other models that use the same claims."""
    taken: set[str] = field(default_factory=set)
    """Nodes on which replicas of theirs are."""
    machines: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Node → the Node object, where a test says something about it."""
    events: list[dict[str, Any]] = field(default_factory=list)
    classes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The cluster's MistralServingClasses by name."""
    budget: Budget | None = None
    """What the other models of its class have."""

    def change(self, **spec: Any) -> None:
        """Edit the spec, as a user does."""
        self.model["spec"].update(spec)
        self.model["metadata"]["generation"] += 1

    def set_class(self, name: str = "standard", *, default: bool = True, created: str = "", **spec: Any) -> None:
        """Make a class, or write it anew."""
        self.classes[name] = make_class(name, default=default, created=created, **spec)

    def decide(self) -> Outcome:
        """Call `sync` with what is there now, and change nothing."""
        observed = Observed(
            cluster=self.cluster,
            children=tuple(self.children.values()),
            pods=tuple(self.pods.values()),
            pod_events=tuple(self.events),
            claims=tuple(self.claims[name] for name in sorted(self._named_claims()) if name in self.claims),
            nodes=self.nodes,
            machines=tuple(self.machines.values()),
            pools={claim: self._use_of(claim) for claim in self._named_claims()},
            serving_classes=tuple(self.classes[name] for name in sorted(self.classes)),
            budget=self.budget,
        )
        return sync(MistralModel.model_validate(self.model), observed, self.catalogue, self.settings, self.now)

    def _named_claims(self) -> set[str]:
        """The operator reads the claims that the model's revisions name, its slices, and no others."""
        slices = {name for name, claim in self.claims.items() if claim["spec"].get("slice")}
        return slices | {name for revision in self.revisions for name in claims_of_revision(revision)}

    def _use_of(self, claim: str) -> PoolUse:
        nodes = {node for node, of in self.nodes.items() if of == claim}
        alive = (pod for pod in self.pods.values() if pod["status"].get("phase") not in FINISHED)
        busy = {pod["spec"].get("nodeName", "") for pod in alive} | self.taken
        return PoolUse(nodes=len(nodes), occupied=len(nodes & busy), users=1 + self.neighbours)

    def step(self) -> Outcome:
        """Call `sync` and apply what it says."""
        outcome = self.decide()
        for manifest in outcome.manifests:
            key = (manifest["kind"], manifest["metadata"]["name"])
            there = self.children.get(key, {})
            uid = there.get("metadata", {}).get("uid", f"uid-{manifest['kind']}-{key[1]}")
            stored = copy.deepcopy(manifest) | ({"status": there["status"]} if "status" in there else {})
            stored["metadata"]["uid"] = uid
            self.children[key] = stored
        for claim in outcome.claims:
            self.claims.setdefault(claim["metadata"]["name"], copy.deepcopy(claim))
        for unwanted in outcome.prune:
            del self.children[unwanted.kind, unwanted.name]
        for mark in outcome.marks:
            annotations = self.pods[mark.name]["metadata"].setdefault("annotations", {})
            annotations[DELETION_COST] = mark.deletion_cost or ""
        self.model["status"] = outcome.status
        self.now += timedelta(seconds=1)
        return outcome

    @property
    def deployment(self) -> dict[str, Any]:
        """The Deployment as applied."""
        return self.children["Deployment", self.model["metadata"]["name"]]

    @property
    def leader_worker_set(self) -> dict[str, Any]:
        """The LeaderWorkerSet as applied."""
        return self.children["LeaderWorkerSet", f"{self.model['metadata']['name']}-slices"]

    @property
    def revisions(self) -> list[dict[str, Any]]:
        """The ControllerRevisions, oldest first."""
        found = [child for child in self.children.values() if child["kind"] == "ControllerRevision"]
        return sorted(found, key=lambda revision: revision["revision"])

    def condition(self, kind: str) -> dict[str, Any]:
        """One condition of the model's status."""
        return next(c for c in self.model["status"]["conditions"] if c["type"] == kind)

    def start_pod(self, name: str = "chat-0", *, workload: str = "", **status: Any) -> dict[str, Any]:
        """Make a pod from the template of a Deployment, the model's own unless `workload` is another one's name; it has
        a node unless `node` is empty.
        """
        deployment = self.children["Deployment", workload] if workload else self.deployment
        template = deployment["spec"]["template"]
        node = status.pop("node", "node-1")
        pod = {
            "metadata": {"name": name, "uid": f"uid-{name}", "labels": dict(template["metadata"]["labels"])},
            "spec": {"nodeName": node} if node else {},
            "status": {"phase": "Running" if node else "Pending", **status},
        }
        self.pods[name] = pod
        return pod

    def set_machine(
        self, name: str, *, born: datetime | None = None, labels: Mapping[str, str] | None = None, **spec: Any
    ) -> None:
        """Make a Node object, or write it anew."""
        metadata: dict[str, Any] = {"name": name, "labels": dict(labels or {})}
        metadata["creationTimestamp"] = (born or self.now).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.machines[name] = {"metadata": metadata, "spec": spec}

    def start_group(self, name: str, claim: str) -> list[str]:
        """Make a group's pods on the nodes of a slice, as LeaderWorkerSet and scheduler do; answers their names."""
        template = self.leader_worker_set["spec"]["leaderWorkerTemplate"]
        names = []
        for index in range(template["size"]):
            pod = name if index == 0 else f"{name}-{index}"
            node = f"{claim}-host-{index}"
            labels = template["workerTemplate" if index else "leaderTemplate"]["metadata"]["labels"]
            self.nodes[node] = claim
            self.pods[pod] = {
                "metadata": {"name": pod, "uid": f"uid-{pod}", "labels": dict(labels)},
                "spec": {"nodeName": node},
                "status": {"phase": "Running"},
            }
            names.append(pod)
        return names

    def start_converter(self, name: str = "convert-0", *, node: str = "node-0", **status: Any) -> dict[str, Any]:
        """Make a pod of the conversion's Job, as Kubernetes' controller does; it has a node unless `node` is empty."""
        (job,) = (child for child in self.children.values() if child["kind"] == "Job")
        pod = {
            "metadata": {
                "name": name,
                "uid": f"uid-{name}",
                "labels": dict(job["spec"]["template"]["metadata"]["labels"]),
                "creationTimestamp": self.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "ownerReferences": [{"kind": "Job", "uid": job["metadata"]["uid"], "controller": True}],
            },
            "spec": {"nodeName": node} if node else {},
            "status": {"phase": "Pending", **status},
        }
        self.pods[name] = pod
        return pod

    def make_ready(self, *names: str) -> None:
        """Let pods answer their probes."""
        for name in names or tuple(self.pods):
            self.pods[name]["status"] |= {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"name": "vllm", "ready": True, "restartCount": 0, "state": {"running": {}}}],
            }

    def provision(self) -> None:
        """Let every claim's node pool stand."""
        for claim in self.claims.values():
            claim["status"] = {
                "state": "Ready",
                "conditions": [{"type": "Ready", "status": "True", "reason": "PoolReady"}],
            }

    def claim_of(self, revision: Mapping[str, Any]) -> str:
        """The claim that a revision's label names."""
        return str(revision["metadata"]["labels"][CLAIM_LABEL])


def autoscaler_event(
    pod: Mapping[str, Any], reason: str, message: str, at: str = "2026-11-23T12:00:10Z"
) -> dict[str, Any]:
    """An Event of the cluster autoscaler on `pod`."""
    return {
        "metadata": {"name": f"{pod['metadata']['name']}.{reason}.{at}"},
        "involvedObject": {"kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]},
        "reason": reason,
        "message": message,
        "lastTimestamp": at,
        "source": {"component": "cluster-autoscaler"},
    }


__all__ = [
    "CLUSTER",
    "MODEL_LABEL",
    "REVISION_LABEL",
    "SETTINGS",
    "START",
    "UID",
    "World",
    "autoscaler_event",
    "make_class",
    "make_model",
]
