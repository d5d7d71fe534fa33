"""Replicas that have several hosts: a LeaderWorkerSet, and one node pool for each of its groups."""

import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from mistral_operator.api.model import MistralModel
from mistral_operator.manifests.identity import Manifest, name_workload, own, part_labels
from mistral_operator.planning.types import PlannedOption

KIND: Final = "LeaderWorkerSet"
API_VERSION: Final = "leaderworkerset.x-k8s.io/v1"
GROUPS_LABEL: Final = "leaderworkerset.sigs.k8s.io/name"
"""On all that the controller makes of a LeaderWorkerSet: the latter's name."""
SLICES_ANNOTATION: Final = "serving.mistral-operator.dev/slices"
"""On ControllerRevisions: the numbers of the slices that the revision needs, such as `0,2`."""
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,2}")
_NUMBERS: Final = re.compile(r"[0-9]{1,3}(,[0-9]{1,3}){0,999}")
_EXCLUSIVE: Final = "leaderworkerset.sigs.k8s.io/exclusive-topology"


def build_leader_worker_set(
    model: MistralModel, option: PlannedOption, leader: Manifest, worker: Manifest, *, replicas: int
) -> Manifest:
    """Render the LeaderWorkerSet: a group a replica, a pod a host, and each group alone in its node pool.

    A lost host breaks the ring of its slice, so its whole group starts anew. A roll-out takes one group away at a time:
    one more would need a slice more.
    """
    return own(
        model,
        api_version=API_VERSION,
        kind=KIND,
        name=name_groups(model),
        labels=part_labels(model),
        annotations={_EXCLUSIVE: "cloud.google.com/gke-nodepool"},
        spec={
            "replicas": replicas,
            "startupPolicy": "LeaderCreated",
            "rolloutStrategy": {
                "type": "RollingUpdate",
                "rollingUpdateConfiguration": {"maxUnavailable": 1, "maxSurge": 0},
            },
            "leaderWorkerTemplate": {
                "size": option.hosts,
                "restartPolicy": "RecreateGroupOnPodRestart",
                "leaderTemplate": leader,
                "workerTemplate": worker,
            },
        },
    )


def name_groups(model: MistralModel) -> str:
    """The LeaderWorkerSet's name, which isn't the model's: that one's Service has it.

    The controller makes a headless Service of the LeaderWorkerSet's own name, by which the hosts of a group find each
    other before they are ready; it makes none where there is a Service of that name already.
    """
    return f"{name_workload(model)}-slices"


def choose_slices(occupied: Iterable[int], held: Iterable[int], replicas: int) -> tuple[int, ...]:
    """The numbers of the slices that are needed: those in use, and as many others as there are more replicas.

    Which group runs on which slice is the scheduler's choice, so it is never the highest number that goes. Of the
    others, those that the model has already come first: a group whose hosts are away comes back to its own.
    """
    needed = set(occupied)
    others = itertools.chain(sorted(held), itertools.count())
    while len(needed) < replicas:
        needed.add(next(others))
    return tuple(sorted(needed))


def slice_claim(claim: Mapping[str, Any], number: int) -> Manifest:
    """The claim of one slice, from the one that is pinned for all of a revision's slices."""
    metadata, spec = claim["metadata"], claim["spec"]
    group = metadata["name"]
    return {
        **claim,
        "metadata": {**metadata, "name": slice_name(group, number)},
        "spec": {**spec, "slice": {"group": group, "number": number}},
    }


def slice_name(group: str, number: int) -> str:
    """The claim's name."""
    return f"{group}-{number}"


def read_slice_name(claim: str) -> tuple[str, int | None]:
    """Group and number of a slice's claim; the number is None when the name can't be one of a slice."""
    group, _, number = claim.rpartition("-")
    return (group, int(number)) if _NUMBER.fullmatch(number) else (claim, None)


def write_slices(numbers: Iterable[int]) -> str:
    """The annotation's value."""
    return ",".join(str(number) for number in numbers)


def read_slices(text: str) -> tuple[int, ...]:
    """The numbers in an annotation's value; none of one that somebody has broken."""
    if not _NUMBERS.fullmatch(text):
        return ()
    return tuple(sorted({int(part) for part in text.split(",")}))
