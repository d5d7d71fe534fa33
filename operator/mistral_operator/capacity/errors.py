"""What the cloud can answer instead of doing it: one small hierarchy, and how its texts are told apart.

Google answers the same cause in several ways: as a gRPC code, as a code inside the text, or in a finished
operation. `classify` reads all of them, so that everyone after it sees one reason and the cloud's own words.
"""

import re
from dataclasses import dataclass
from typing import ClassVar, Final

GKE: Final = "GKE"
CONFIG_CONNECTOR: Final = "Config Connector"


@dataclass(frozen=True, slots=True)
class CloudFinding:
    """One refusal of the cloud, as a value."""

    reason: str
    """A finding in CamelCase, such as `StockedOut`."""
    text: str
    """The cloud's own words where it is `verbatim`."""
    retryable: bool
    """True when the same call may well succeed soon, without anyone doing anything."""
    outcome_unknown: bool = False
    """True when the call may have taken effect although it failed."""
    verbatim: bool = True
    """False when the cloud said nothing, so that the text is ours, or that of whatever stood in between."""
    speaker: str = GKE
    """Who said it: GKE, or Config Connector, which quotes what GKE answered to it."""
    advice: str = ""
    """What to do about it, where whoever found it knows more than the text tells."""


class CloudError(Exception):
    """A call to the cloud failed. The class says what that means; see `CloudFinding` for `text` and `verbatim`."""

    reason: ClassVar[str]
    retryable: ClassVar[bool] = False
    outcome_unknown: ClassVar[bool] = False

    def __init__(self, text: str, *, verbatim: bool = True) -> None:
        super().__init__(text)
        self.text = text
        self.verbatim = verbatim

    @property
    def finding(self) -> CloudFinding:
        """The error as a value, for conditions."""
        return CloudFinding(
            reason=self.reason,
            text=self.text,
            retryable=self.retryable,
            outcome_unknown=self.outcome_unknown,
            verbatim=self.verbatim,
        )


class AlreadyExistsError(CloudError):
    """Something of that name is there, ours or a stranger's."""

    reason = "AlreadyExists"
    retryable = True


class NotFoundError(CloudError):
    """The named pool, operation or cluster isn't there."""

    reason = "NotFound"
    retryable = True


class BusyError(CloudError):
    """Another operation is at work on the cluster, or too many are."""

    reason = "ClusterBusy"
    retryable = True


class ThrottledError(CloudError):
    """Too many requests a minute."""

    reason = "RequestsThrottled"
    retryable = True


class UnavailableError(CloudError):
    """No answer, or one that tells nothing: the call may have taken effect."""

    reason = "CloudUnavailable"
    retryable = True
    outcome_unknown = True


class StockedOutError(CloudError):
    """The zones have no such machine left."""

    reason = "StockedOut"


class QuotaExceededError(CloudError):
    """The project may not have that many."""

    reason = "QuotaExceeded"


class AddressesExhaustedError(CloudError):
    """The cluster's network has no addresses left for nodes or pods."""

    reason = "AddressesExhausted"


class InvalidReservationError(CloudError):
    """The reservation can't be used from here: most often it is another project's, and not shared."""

    reason = "InvalidReservation"


class ReservationNotFoundError(CloudError):
    """There is no reservation of that name in the zone."""

    reason = "ReservationNotFound"


class ReservationNotReadyError(CloudError):
    """The reservation is still being made, or changed."""

    reason = "ReservationNotReady"
    retryable = True


class ReservationExhaustedError(CloudError):
    """All machines of the reservation are in use."""

    reason = "ReservationExhausted"


class ReservationIncompatibleError(CloudError):
    """The reservation is of other machines."""

    reason = "ReservationIncompatible"


class InUseError(CloudError):
    """Something is still placed by the workload policy that was to be deleted."""

    reason = "PolicyInUse"
    retryable = True


class PermissionDeniedError(CloudError):
    """The operator's identity may not do that."""

    reason = "PermissionDenied"


class InvalidRequestError(CloudError):
    """The cloud understands the request and refuses its content."""

    reason = "InvalidRequest"


_Patterns = tuple[tuple[re.Pattern[str], type[CloudError]], ...]


def _compile(*pairs: tuple[str, type[CloudError]]) -> _Patterns:
    return tuple((re.compile(pattern, re.IGNORECASE), error) for pattern, error in pairs)


_BY_RESERVATION: Final = _compile(
    (r"RESERVATION_NOT_READY|reservation to be in READY state", ReservationNotReadyError),
    (r"RESERVATION_NOT_FOUND|specified reservations? .*do(es)? not exist", ReservationNotFoundError),
    (r"RESERVATION_CAPACITY_EXCEEDED|specified reservation .*does not have available", ReservationExhaustedError),
    (r"RESERVATION_INCOMPATIBLE|resources in specified reservations", ReservationIncompatibleError),
    (r"INVALID_RESERVATION|reservation must exist in the same project", InvalidReservationError),
)
"""Google's codes, and the sentences by which kubernetes/autoscaler tells them apart
(cluster-autoscaler/cloudprovider/gce/autoscaling_gce_client.go).
"""

RESERVATION_REASONS: Final = frozenset(error.reason for _, error in _BY_RESERVATION)

_BY_TEXT: Final = _BY_RESERVATION + _compile(
    (r"resource_policy resource .*already being used|RESOURCE_IN_USE_BY_ANOTHER_RESOURCE", InUseError),
    (r"STOCKOUT|RESOURCE_POOL_EXHAUSTED|does not have enough resources|INSUFFICIENT_CAPACITY", StockedOutError),
    (r"concurrent operations|CONCURRENT_OPERATIONS_QUOTA|too many operations", BusyError),
    (r"incompatible operation|is currently \w+ .*(node pool|cluster)", BusyError),
    (r"rateLimitExceeded|quota metric|requests? per minute", ThrottledError),
    (r"IP_SPACE_EXHAUSTED", AddressesExhaustedError),
    (r"quota", QuotaExceededError),
    (r"PERMISSIONS_ERROR|PERMISSION_DENIED|NODE_SERVICE_ACCOUNT|serviceAccountUser role", PermissionDeniedError),
    (r"CONDITION_NOT_MET|unsupported", InvalidRequestError),
)
"""In order: a stock-out may mention a quota, and a quota text may mention resources."""

_BY_CODE: Final[dict[str, type[CloudError]]] = {
    "INVALID_ARGUMENT": InvalidRequestError,
    "OUT_OF_RANGE": InvalidRequestError,
    "UNIMPLEMENTED": InvalidRequestError,
    "FAILED_PRECONDITION": BusyError,
    "RESOURCE_EXHAUSTED": ThrottledError,
}

_CODES_THAT_SAY_IT_ALL: Final[dict[str, type[CloudError]]] = {
    "ALREADY_EXISTS": AlreadyExistsError,
    "NOT_FOUND": NotFoundError,
    "UNAUTHENTICATED": PermissionDeniedError,
    "UNAVAILABLE": UnavailableError,
    "DEADLINE_EXCEEDED": UnavailableError,
}


def classify(code: str, text: str, *, verbatim: bool = True) -> CloudError:
    """The error for a gRPC status code's name (may be empty) and a text.

    Codes such as RESOURCE_EXHAUSTED mean stock, quota or a busy cluster, so the text is asked before them. What
    neither the text nor the code tells is an unknown outcome, never a success.
    """
    return _find_class(code, text)(text, verbatim=verbatim)


def _find_class(code: str, text: str) -> type[CloudError]:
    certain = _CODES_THAT_SAY_IT_ALL.get(code)
    if certain is NotFoundError:
        # It may be the reservation that a pool names.
        return _match(_BY_RESERVATION, text) or certain
    if certain is not None:
        return certain
    if found := _match(_BY_TEXT, text):
        return found
    if code == "PERMISSION_DENIED":
        return PermissionDeniedError
    return _BY_CODE.get(code, UnavailableError)


def _match(patterns: _Patterns, text: str) -> type[CloudError] | None:
    return next((error for pattern, error in patterns if pattern.search(text)), None)


@dataclass(frozen=True, slots=True)
class QuotaNamed:
    """What a quota error tells about the quota; empty where it doesn't."""

    metric: str
    region: str
    limit: str


_METRIC: Final = re.compile(r"[Qq]uota '(?P<a>[\w.:/-]+)'|resource \"(?P<b>[\w.:/-]+)\"")
_REGION: Final = re.compile(r"in region '?(?P<region>[a-z]+-[a-z]+\d+)|globally")
_LIMIT: Final = re.compile(r"Limit: (?P<a>[\d.]+\d)|has a quota of '(?P<b>[\d.]+)'")


def parse_quota(text: str) -> QuotaNamed:
    """The quota that an error text names: Compute writes `Quota 'X' exceeded.  Limit: 1.0 in region R.`, GKE
    `Insufficient regional quota …: resource "X": … project has a quota of '0.0'`.
    """

    def first(pattern: re.Pattern[str]) -> str:
        found = pattern.search(text)
        return next((group for group in found.groups() if group), "") if found else ""

    return QuotaNamed(metric=first(_METRIC), region=first(_REGION), limit=first(_LIMIT))
