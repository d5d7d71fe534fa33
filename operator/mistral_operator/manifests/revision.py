"""The pinned plan: an immutable ControllerRevision that holds the plan and the pod template made from it.

A new operator, catalogue or price list leaves a revision alone; only another spec (or another rung) makes a new one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mistral_operator.api.model import MistralModel
from mistral_operator.api.names import API_VERSION, CLAIM_KIND, CLAIM_LABEL, REVISION_LABEL
from mistral_operator.manifests.identity import Manifest, hash_content, own
from mistral_operator.planning.serialize import PlanFormatError, plan_from_dict, plan_to_dict
from mistral_operator.planning.types import Plan

KIND = "ControllerRevision"


@dataclass(frozen=True, slots=True)
class Revision:
    """One pinned plan, read back from its ControllerRevision or about to become one."""

    hash: str
    number: int
    plan: Plan
    data: Mapping[str, Any]
    """The stored content, verbatim: it can't be changed, so it is sent again exactly as it was."""

    @property
    def pod_template(self) -> Manifest:
        """The pod template as it was rendered when the revision was made."""
        return dict(self.data["podTemplate"])

    @property
    def claim(self) -> Manifest:
        """The NodePoolClaim as it was rendered when the revision was made."""
        return dict(self.data["claim"])

    @property
    def planner_version(self) -> str:
        """The operator's version that made the plan."""
        return str(self.data["plannerVersion"])

    @property
    def claim_name(self) -> str:
        """The name that the pods' node selector asks for."""
        return str(self.data["claim"]["metadata"]["name"])


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A revision of this model whose plan another version wrote in a way that this one can't read."""

    hash: str
    planner_version: str
    problem: str


def new_revision(
    plan: Plan, *, number: int, digest: str, claim: Manifest, pod_template: Manifest, version: str
) -> Revision:
    """Pin `plan` with what was rendered from it and the planner's version."""
    data = {"plan": plan_to_dict(plan), "podTemplate": pod_template, "claim": claim, "plannerVersion": version}
    return Revision(hash=digest, number=number, plan=plan, data=data)


def read_revision(stored: Mapping[str, Any]) -> Revision | Unreadable | None:
    """Read a ControllerRevision; None when it isn't one that this operator made for this model."""
    labels = stored["metadata"].get("labels") or {}
    digest, data = labels.get(REVISION_LABEL, ""), stored.get("data") or {}
    if not digest or not _is_trustworthy(
        data.get("claim"), labels.get(CLAIM_LABEL, ""), stored["metadata"]["namespace"]
    ):
        return None
    try:
        plan = plan_from_dict(data["plan"])
    except PlanFormatError as error:
        return Unreadable(digest, str(data.get("plannerVersion", "unknown")), str(error))
    return Revision(hash=digest, number=int(stored["revision"]), plan=plan, data=data)


def _is_trustworthy(claim: Any, name: str, namespace: str) -> bool:
    """The stored claim is applied with the operator's own rights, so it must be what the operator would have written.

    Whoever may write ControllerRevisions in a namespace must not get more by that than a pool for this namespace.
    """
    if not isinstance(claim, Mapping) or claim.keys() != {"apiVersion", "kind", "metadata", "spec"}:
        return False
    metadata, spec = claim["metadata"], claim["spec"]
    return (
        (claim["apiVersion"], claim["kind"]) == (API_VERSION, CLAIM_KIND)
        and metadata.keys() <= {"name", "labels"}
        and metadata["name"] == name
        and spec.get("tenant") == namespace
        and name.endswith(f"-{hash_content(spec)}")
    )


def build_revision(model: MistralModel, revision: Revision) -> Manifest:
    """Render the ControllerRevision."""
    return own(
        model,
        api_version="apps/v1",
        kind=KIND,
        name=f"{model.metadata.name}-{revision.hash}",
        labels={REVISION_LABEL: revision.hash, CLAIM_LABEL: revision.claim_name},
        revision=revision.number,
        data=dict(revision.data),
    )
