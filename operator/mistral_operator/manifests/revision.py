"""The pinned plan: an immutable ControllerRevision that holds the plan and the pod template made from it.

A new operator, catalogue or price list leaves a revision alone; only another spec (or another rung) makes a new one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mistral_operator.api.model import MistralModel
from mistral_operator.api.names import (
    API_VERSION,
    CLAIM_KIND,
    CLAIM_LABEL,
    MOST_REPLICAS_ANNOTATION,
    REVISION_LABEL,
)
from mistral_operator.manifests.identity import Manifest, hash_content, own, part_labels
from mistral_operator.manifests.slices import SLICES_ANNOTATION, read_slices, slice_claim, slice_name, write_slices
from mistral_operator.manifests.stored_plan import find_flaw
from mistral_operator.planning.serialize import PlanFormatError, plan_from_dict, plan_to_dict
from mistral_operator.planning.types import Plan, Provisioner

KIND = "ControllerRevision"
_LONGEST_VERSION: Final = 64
_BOUNDED: Final = frozenset({Provisioner.CONTAINER_API, Provisioner.CONFIG_CONNECTOR})
_MOST_REPLICAS: Final = re.compile(r"0|[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Revision:
    """One pinned plan, read back from its ControllerRevision or about to become one."""

    hash: str
    number: int
    plan: Plan
    data: Mapping[str, Any]
    """The stored content, verbatim: it can't be changed, so it is sent again exactly as it was."""
    slices: tuple[int, ...] = ()
    """Of a model on multi-host slices: the numbers of those that it needs. This and `most_replicas` change."""
    most_replicas: int | None = None
    """So many its model's spend limits pay for at once on this claim, whatever the spec asks for; None without a limit.
    It is written, and read only by those who bound the claim's pool.
    """

    @property
    def pod_template(self) -> Manifest:
        """The pod template as it was rendered when the revision was made."""
        return dict(self.data["podTemplate"])

    @property
    def worker_template(self) -> Manifest | None:
        """The same for the other hosts of a multi-host slice; None where a replica is one pod."""
        template = self.data.get("workerTemplate")
        return None if template is None else dict(template)

    @property
    def conversion(self) -> Manifest | None:
        """The spec of the Job that has to be done before anything is served; None where there is none."""
        job = self.data.get("conversion")
        return None if job is None else dict(job)

    @property
    def claim(self) -> Manifest:
        """The NodePoolClaim as it was rendered when the revision was made."""
        return dict(self.data["claim"])

    @property
    def planner_version(self) -> str:
        """The operator's version that made the plan."""
        return str(self.data["plannerVersion"])

    @property
    def inputs(self) -> str:
        """The hash of what all rungs of its ladder are planned from; the first rung's revision is named by it."""
        return str(self.data.get("inputs", self.hash))

    @property
    def rung(self) -> str:
        """The name of the rung that it is for."""
        return self.plan.rung_names[self.plan.rung]

    @property
    def claim_name(self) -> str:
        """The name that the pods' node selector asks for."""
        return str(self.data["claim"]["metadata"]["name"])

    @property
    def spans_hosts(self) -> bool:
        """Whether a replica runs on several machines, with claims of its own."""
        return self.plan.chosen.hosts > 1

    @property
    def has_bounds(self) -> bool:
        """Whether the cluster autoscaler sizes the claim's pool between bounds: a slice has one size, and neither a
        ComputeClass nor nodes that are there have any.
        """
        return not self.spans_hosts and self.plan.chosen.provisioner in _BOUNDED

    @property
    def claims(self) -> tuple[Manifest, ...]:
        """The claims that it needs now."""
        if not self.spans_hosts:
            return (self.claim,)
        return tuple(slice_claim(self.claim, number) for number in self.slices)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A revision of this model whose plan another version wrote in a way that this one can't read."""

    hash: str
    planner_version: str
    problem: str


def new_revision(
    plan: Plan,
    *,
    number: int,
    digest: str,
    inputs: str,
    claim: Manifest,
    pod_template: Manifest,
    worker_template: Manifest | None,
    conversion: Manifest | None,
    version: str,
) -> Revision:
    """Pin `plan` with what was rendered from it and the planner's version."""
    data = {
        "plan": plan_to_dict(plan),
        "podTemplate": pod_template,
        **({"workerTemplate": worker_template} if worker_template else {}),
        **({"conversion": conversion} if conversion else {}),
        "claim": claim,
        "plannerVersion": version,
        **({"inputs": inputs} if inputs != digest else {}),
    }
    return Revision(hash=digest, number=number, plan=plan, data=data)


def read_revision(stored: Mapping[str, Any]) -> Revision | Unreadable | None:
    """Read a ControllerRevision; None when it isn't one that this operator made for this model."""
    metadata, data = stored["metadata"], stored.get("data")
    labels = metadata.get("labels") or {}
    digest = labels.get(REVISION_LABEL, "")
    if not digest or not isinstance(data, Mapping) or not _has_parts(data) or not _has_own_name(metadata, digest):
        return None
    if not _is_trustworthy(data["claim"], labels.get(CLAIM_LABEL, ""), metadata["namespace"]):
        return None
    plan = _read_plan(data["plan"])
    if not isinstance(plan, Plan):
        return Unreadable(digest, data["plannerVersion"], plan)
    if plan.chosen.hosts > 1 and "workerTemplate" not in data:
        return None
    if _count_hosts(data["claim"]["spec"]) != plan.chosen.hosts:
        return None
    numbers = read_slices((metadata.get("annotations") or {}).get(SLICES_ANNOTATION, ""))
    return Revision(hash=digest, number=int(stored["revision"]), plan=plan, data=data, slices=numbers)


def _has_own_name(metadata: Mapping[str, Any], digest: str) -> bool:
    """A revision is applied again under its model's name and its hash: of two with one hash, one would be written over
    the other, which can't be changed.
    """
    owners = metadata.get("ownerReferences") or ()
    return any(owner.get("controller") and metadata["name"] == f"{owner.get('name')}-{digest}" for owner in owners)


def _has_parts(data: Mapping[str, Any]) -> bool:
    """Whether all is there, in JSON of the right kind; what is in the templates the API server judges."""
    version, inputs = data.get("plannerVersion"), data.get("inputs", "")
    needed = all(isinstance(data.get(part), Mapping) for part in ("plan", "claim", "podTemplate"))
    optional = all(isinstance(data[part], Mapping) for part in ("workerTemplate", "conversion") if part in data)
    words = isinstance(inputs, str) and isinstance(version, str) and len(version) <= _LONGEST_VERSION
    return needed and optional and words


def _read_plan(stored: Mapping[str, Any]) -> Plan | str:
    """The plan, or what is wrong with it."""
    try:
        plan = plan_from_dict(stored)
    except (PlanFormatError, OverflowError) as error:  # A JSON number may be too large for any integer.
        return str(error)
    flaw = find_flaw(plan)
    return f"this is no plan that this version can read: {flaw}" if flaw else plan


def _is_trustworthy(claim: Mapping[str, Any], name: str, namespace: str) -> bool:
    """The stored claim is applied with the operator's own rights, so it must be what the operator would have written.

    Whoever may write ControllerRevisions in a namespace must not get more by that than a pool for this namespace.
    """
    if claim.keys() != {"apiVersion", "kind", "metadata", "spec"}:
        return False
    metadata, spec = claim["metadata"], claim["spec"]
    return (
        (claim["apiVersion"], claim["kind"]) == (API_VERSION, CLAIM_KIND)
        and isinstance(metadata, Mapping)
        and isinstance(spec, Mapping)
        and metadata.keys() <= {"name", "labels"}
        and metadata.get("name") == name
        and spec.get("tenant") == namespace
        and "slice" not in spec  # Only `slice_claim` adds it: the pool's nodes get the label that it names.
        and name.endswith(f"-{hash_content(spec)}")
    )


def _count_hosts(claim_spec: Mapping[str, Any]) -> Any:
    """Machines of one slice, whatever has been stored there; one where the claim isn't for a slice."""
    shape = claim_spec.get("shape")
    return shape.get("hosts", 1) if isinstance(shape, Mapping) else None


def claims_of_revision(stored: Mapping[str, Any]) -> list[str]:
    """The claims that a ControllerRevision's pods need: one, or one for each of its slices."""
    metadata = stored["metadata"]
    name = (metadata.get("labels") or {}).get(CLAIM_LABEL)
    if not name:
        return []
    numbers = read_slices((metadata.get("annotations") or {}).get(SLICES_ANNOTATION, ""))
    return [slice_name(name, number) for number in numbers] or [name]


def read_most_replicas(stored: Mapping[str, Any]) -> int | None:
    """What a ControllerRevision says of its model's spend limits; None where it says nothing, or nothing that the
    operator would have written.
    """
    text = (stored["metadata"].get("annotations") or {}).get(MOST_REPLICAS_ANNOTATION)
    return int(text) if isinstance(text, str) and _MOST_REPLICAS.fullmatch(text) else None


def build_revision(model: MistralModel, revision: Revision) -> Manifest:
    """Render the ControllerRevision."""
    most = {} if revision.most_replicas is None else {MOST_REPLICAS_ANNOTATION: str(revision.most_replicas)}
    return own(
        model,
        api_version="apps/v1",
        kind=KIND,
        name=f"{model.metadata.name}-{revision.hash}",
        labels={REVISION_LABEL: revision.hash, CLAIM_LABEL: revision.claim_name, **part_labels(model)},
        annotations={**({SLICES_ANNOTATION: write_slices(revision.slices)} if revision.slices else {}), **most},
        revision=revision.number,
        data=dict(revision.data),
    )
