"""Which pinned plan is served: the one that the spec asks for, and what stays until it is in place."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from mistral_operator.api.model import MistralModel
from mistral_operator.engines.registry import ENGINES
from mistral_operator.manifests.claim import build_claim
from mistral_operator.manifests.conversion import build_conversion_spec
from mistral_operator.manifests.pods import build_pod_template, build_worker_template
from mistral_operator.manifests.revision import KIND, Revision, Unreadable, new_revision, read_revision
from mistral_operator.planning.types import Plan


@dataclass(frozen=True, slots=True)
class History:
    """A model's revisions, oldest first."""

    revisions: tuple[Revision, ...]
    unreadable: tuple[Unreadable, ...] = ()

    @property
    def latest(self) -> Revision | None:
        """The one that was served last."""
        return self.revisions[-1] if self.revisions else None

    @property
    def hashes(self) -> frozenset[str]:
        """Those of all revisions, whether they can be read or not."""
        return frozenset((*(r.hash for r in self.revisions), *(stored.hash for stored in self.unreadable)))

    @property
    def prices(self) -> dict[str, Decimal | None]:
        """Hash → US dollars an hour of a pod, for revisions without slices; None where that isn't known."""
        known = {each.hash: each.plan.chosen.hourly_cost for each in self.revisions if not each.spans_hosts}
        return {**dict.fromkeys((stored.hash for stored in self.unreadable), None), **known}

    def find(self, inputs: str) -> Revision | None:
        """The one that was served last of those made from the inputs with this hash, on whichever rung."""
        return next((revision for revision in reversed(self.revisions) if revision.inputs == inputs), None)

    def find_rung(self, inputs: str, rung: str) -> Revision | None:
        """The last one of those for a rung of the ladder that was planned from these inputs."""
        rungs = (each for each in reversed(self.revisions) if each.inputs == inputs and each.rung == rung)
        return next(rungs, None)

    @property
    def next_number(self) -> int:
        """A number above all others."""
        return self.revisions[-1].number + 1 if self.revisions else 1

    def is_latest(self, revision: Revision) -> bool:
        """True when no other revision was served after it."""
        return self.latest is not None and self.latest.hash == revision.hash


def read_history(children: Sequence[Mapping[str, Any]]) -> History:
    """Find a model's revisions among the objects that it owns."""
    read = [read_revision(child) for child in children if child["kind"] == KIND]
    revisions = [found for found in read if isinstance(found, Revision)]
    return History(
        revisions=tuple(sorted(revisions, key=lambda revision: (revision.number, revision.hash))),
        unreadable=tuple(found for found in read if isinstance(found, Unreadable)),
    )


def distrust(history: History, live: Collection[str], image_caches: Collection[str]) -> History:
    """Take no disk image from a revision alone: whoever may write ControllerRevisions in a namespace could have any
    image on new nodes. It has to be of a serving class, one of `image_caches`, or of a claim that is there, by name one
    of `live`.
    """
    forged = {each.hash: image for each in history.revisions if (image := _find_foreign(each, live, image_caches))}
    unreadable = tuple(
        Unreadable(each.hash, each.planner_version, f"its claim asks for the disk image {forged[each.hash]:.200}, which"
                   " no MistralServingClass gives, and which no claim has that is there")
        for each in history.revisions if each.hash in forged
    )  # fmt: skip
    trusted = tuple(each for each in history.revisions if each.hash not in forged)
    return replace(history, revisions=trusted, unreadable=(*history.unreadable, *unreadable)) if forged else history


def _find_foreign(revision: Revision, live: Collection[str], image_caches: Collection[str]) -> str:
    image = revision.claim["spec"].get("imageCache") or ""
    known = not image or image in image_caches
    return "" if known or any(claim["metadata"]["name"] in live for claim in revision.claims) else str(image)


def pin(model: MistralModel, plan: Plan, *, digest: str, inputs: str, number: int, version: str) -> Revision:
    """Make the revision of a new plan: the only place where a pod template is rendered.

    `digest` names it; `inputs` is the hash of what the whole ladder is planned from.
    """
    option = plan.chosen
    engine = ENGINES[option.engine]
    launch = engine.launch(model.spec, plan, option)
    claim = build_claim(model, option)
    name = claim["metadata"]["name"]
    conversion = engine.convert(plan, option)
    return new_revision(
        plan,
        number=number,
        digest=digest,
        inputs=inputs,
        claim=claim,
        pod_template=build_pod_template(model, option, launch, revision=digest, claim=name),
        worker_template=build_worker_template(model, option, launch, revision=digest, claim=name),
        conversion=build_conversion_spec(model, option, conversion, claim=name) if conversion else None,
        version=version,
    )
