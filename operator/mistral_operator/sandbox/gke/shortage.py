"""Why a machine wasn't given."""

from dataclasses import dataclass

LASTING = (
    "GCE_QUOTA_EXCEEDED",
    "RESERVATION_NOT_FOUND",
    "RESERVATION_INCOMPATIBLE",
    "INVALID_RESERVATION",
    "IP_SPACE_EXHAUSTED",
    "PERMISSIONS_ERROR",
    "CONDITION_NOT_MET",
)
"""What asking again won't change: an instance group gives up on these at once."""


@dataclass(frozen=True, slots=True)
class Shortage:
    """Google's code for it, and its words for one instance."""

    code: str
    text: str

    @property
    def lasts(self) -> bool:
        return self.code in LASTING
