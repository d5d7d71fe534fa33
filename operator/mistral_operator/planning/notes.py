"""What a reader of a plan should know beside the numbers: what isn't pinned, and what was left to the engine."""

import re
from collections.abc import Iterator

from mistral_operator.planning.runtimes import ResolvedEngine
from mistral_operator.planning.terms import Terms
from mistral_operator.planning.weights import Weights

_COMMIT = re.compile("[0-9a-f]{40}")


def note_plan(weights: Weights, engine: ResolvedEngine, terms: Terms) -> Iterator[str]:
    """The notes of one plan."""
    if terms.source:
        yield f"planned within the limits of {terms.source}"
    yield from _note_weights(weights, engine)
    if "@sha256:" not in engine.image:
        name = _without_tag(engine.image)
        yield (
            f"the image {engine.image} is not pinned: its tag can be moved to other content; write spec.engine.image:"
            f" {name}@sha256:<digest>, or start the operator with --image {engine.engine.id}={name}@sha256:<digest>"
        )
    if engine.omitted_flags:
        yield (
            f"{weights.repository} is not one of the catalogue's repositories, so {', '.join(engine.omitted_flags)}"
            " are left out: the engine finds out by itself how its files are laid out; where it is wrong, write them in"
            " spec.engine.extraArgs"
        )


def _note_weights(weights: Weights, engine: ResolvedEngine) -> Iterator[str]:
    if not engine.engine.loads_revision:
        yield (
            f"the weights are not pinned: {engine.engine.name} loads the main branch of {weights.repository}, which can"
            " change between two starts of a replica; write a repository of your own in"
            " spec.weights.huggingFace.repository, and leave it unchanged"
        )
        return
    if _COMMIT.fullmatch(weights.revision):
        return
    what = f"revision {weights.revision}" if weights.revision else "the main branch"
    yield (
        f"the weights are not pinned: {what} of {weights.repository} can change between two starts of a replica;"
        " write spec.weights.huggingFace.revision: <commit>"
    )


def _without_tag(image: str) -> str:
    """A port's colon stays: `host:5000/vllm:1` is `host:5000/vllm`."""
    folder, slash, name = image.rpartition("/")
    return f"{folder}{slash}{name.partition(':')[0]}"
