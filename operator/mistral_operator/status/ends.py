"""Replicas whose nodes are going to end, and what is done so that another one answers before."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from mistral_operator.status.findings import format_time

REPLICA_ENDS_SOON: Final = "ReplicaEndsSoon"
NO_SUCCESSOR: Final = "NoSuccessor"


class EndCause(StrEnum):
    """Why a node ends; the values complete the sentence "node X …"."""

    RUN_OVER = "ends when its longest run is over"
    MAINTENANCE = "is taken down for the maintenance of its host"
    SHUTDOWN = "is being shut down (taint cloud.google.com/impending-node-termination)"


@dataclass(frozen=True, slots=True)
class NodeEnd:
    """The end of a node on which a replica answers."""

    pod: str
    node: str
    cause: EndCause
    at: datetime | None
    """None when it may happen at any moment."""

    def describe(self) -> str:
        """The same words at each look, so that they are told once."""
        when = f" at {format_time(self.at)}" if self.at else ""
        return f"Pod {self.pod} is on node {self.node}, which {self.cause.value}{when}."


class Step(StrEnum):
    """What is done about the ends that are near; the values are sentences."""

    NONE = ""
    STARTING = "A successor is being started; when it answers, this replica goes."
    LEAVING = "Its successor answers, so it goes."
    WAITING = "Its successor is started when the node of the one before it has been removed, where it would land."
    UNPAID = "No successor comes before: the spend limits don't pay for one machine more."
    OUTSIDE_CLASS = "No successor comes before: the serving class doesn't allow what it would be."
    RECREATE = "No successor comes before: rollout.strategy: Recreate rules out a machine more."


_WITHOUT: Final = frozenset({Step.UNPAID, Step.OUTSIDE_CLASS, Step.RECREATE})


@dataclass(frozen=True, slots=True)
class Succession:
    """The ends for which it is time, the nearest first, and what is done about the first."""

    ends: tuple[NodeEnd, ...] = ()
    step: Step = Step.NONE

    @property
    def extra_replicas(self) -> int:
        """Replicas that are wanted beside those that the spec asks for."""
        return 1 if self.step is Step.STARTING else 0

    @property
    def lacks_successor(self) -> bool:
        """Whether a replica will be missing for a while that might have been replaced before."""
        return self.step in _WITHOUT

    def describe(self) -> str:
        """The nearest end, what is done about it, and how many there are besides."""
        others = f" So do {len(self.ends) - 1} more, one after the other." if len(self.ends) > 1 else ""
        return f"{self.ends[0].describe()} {self.step.value}{others}"


NO_ENDS: Final = Succession()
