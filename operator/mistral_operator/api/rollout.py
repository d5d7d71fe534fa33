"""`spec.rollout`: how a change reaches running replicas."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mistral_operator.api.common import ApiType, Count, Duration


class RolloutStrategy(StrEnum):
    """In which order old and new replicas come and go."""

    ROLLING_UPDATE = "RollingUpdate"
    RECREATE = "Recreate"


class Canary(ApiType):
    """Lets a few replicas of the new revision prove themselves first."""

    percent: Annotated[Count, Field(ge=1, le=99)] = Field(
        description="Share of the replicas that take the change first."
    )
    hold: Duration = Field(description="How long they must stay healthy before the rest follows, such as `15m`.")


class Rollout(ApiType):
    """How a change reaches running replicas."""

    strategy: RolloutStrategy | None = Field(
        None,
        description="`RollingUpdate` starts the new replica first and needs capacity for one more; `Recreate` stops"
        " the old one first. `RollingUpdate` when left out.",
    )
    drain_timeout: Duration | None = Field(
        None,
        description="Time that running requests get to finish when a replica stops; cut short on spot.",
    )
    canary: Canary | None = Field(None, description="Lets a few replicas prove the change first. Off when left out.")
