"""The pinned plan: an immutable ControllerRevision that holds the plan and the pod template made from it.

A new operator, catalogue or price list leaves a revision alone; only another spec (or another rung) makes a new one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mistral_operator.api.model import MistralModel
from mistral_operator.api.names import CLAIM_LABEL, REVISION_LABEL
from mistral_operator.manifests.identity import Manifest, hash_content, own
from mistral_operator.planning.serialize import plan_from_dict, plan_to_dict
from mistral_operator.planning.types import Plan

KIND = "ControllerRevision"

# What a plan and a pod template are made from. Anything else in the spec changes neither.
_INPUT_FIELDS = (
    "model", "customModel", "variant", "weights", "engine", "capacity", "optimizeFor", "allowExperimental",
    "serviceAccountName", "resourceLabels", "endpoint", "rollout", "pod",
)  # fmt: skip


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


def hash_inputs(model: MistralModel, rung: str = "") -> str:
    """Hash the chosen inputs of planning; never the rendered output.

    Defaults and empty parts are left out, so that a field that a newer version adds changes no hash.
    """
    spec = model.spec.model_dump(by_alias=True, exclude_defaults=True, mode="json")
    inputs = _without_empty({name: spec[name] for name in _INPUT_FIELDS if name in spec})
    return hash_content({"spec": inputs, "rung": rung})


def _without_empty(value: Any) -> Any:
    """`engine: {}` says no more than no engine at all."""
    if not isinstance(value, dict):
        return value
    kept = {name: _without_empty(item) for name, item in value.items()}
    return {name: item for name, item in kept.items() if item not in ({}, [], "")}


def new_revision(
    plan: Plan, *, number: int, digest: str, claim: Manifest, pod_template: Manifest, version: str
) -> Revision:
    """Pin `plan` with what was rendered from it and the planner's version."""
    data = {"plan": plan_to_dict(plan), "podTemplate": pod_template, "claim": claim, "plannerVersion": version}
    return Revision(hash=digest, number=number, plan=plan, data=data)


def read_revision(stored: Mapping[str, Any]) -> Revision:
    """Read a ControllerRevision that this operator wrote."""
    data = stored["data"]
    return Revision(
        hash=stored["metadata"]["labels"][REVISION_LABEL],
        number=int(stored["revision"]),
        plan=plan_from_dict(data["plan"]),
        data=data,
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
