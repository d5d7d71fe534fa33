"""The image cache that a serving class gives: a disk image with an engine's image on it, for new nodes' second disk.

Source: Google's page on secondary boot disks that preload container images. It states no time that they save, so the
estimate of a start is the same with one.
"""

from collections.abc import Iterator
from typing import Final

from mistral_operator.planning.candidate import Candidate, Task
from mistral_operator.planning.hardware import read_version
from mistral_operator.planning.runtimes import usual_image
from mistral_operator.planning.types import Provisioner

IMAGE_CACHES_SINCE: Final = "1.28.3-gke.1067000"
"""First GKE version of Standard clusters."""


def find_image_cache(task: Task, candidate: Candidate) -> str:
    """The disk image for the candidate's nodes, as `projects/P/global/images/NAME`; empty without one.

    It is a default, so what can't have one goes without, and `note_image_cache` says why.
    """
    return "" if _find_hindrance(task, candidate) else _read_default(task, candidate)


def note_image_cache(task: Task, candidate: Candidate) -> Iterator[str]:
    """What a reader should know of a default that there is: where it comes from, or why it isn't used."""
    default = _read_default(task, candidate)
    if not default:
        return
    hindrance = _find_hindrance(task, candidate)
    if hindrance:
        yield f"the image cache {default} of {task.terms.source} is left out: {hindrance}"
        return
    yield (
        f"new nodes get a second disk made of {default}, the image cache of {task.terms.source}: what it holds of the"
        " engine's image isn't pulled; the estimate of the start doesn't count on it"
    )


def _read_default(task: Task, candidate: Candidate) -> str:
    return dict(task.terms.image_caches).get(candidate.runtime.engine.engine.id, "")


def _find_hindrance(task: Task, candidate: Candidate) -> str:
    """Why the nodes can't have one, or it would be of no use to them; empty where neither is so."""
    if task.provisioner is not Provisioner.CONTAINER_API:
        return f"only nodes that ContainerAPI makes get one, not those of {task.provisioner.value}"
    current = read_version(task.cluster.version)
    if current and current < read_version(IMAGE_CACHES_SINCE):
        return f"it needs GKE {IMAGE_CACHES_SINCE}, and the cluster has {task.cluster.version}"
    resolved = candidate.runtime.engine
    usual = usual_image(resolved.engine, task.terms.choose_images(task.settings.images))
    return "" if resolved.image == usual else f"it is for {usual}, and spec.engine.image is another"
