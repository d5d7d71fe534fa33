"""What the API server refuses of objects that stand for node pools, as errors of the cloud."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from mistral_operator.capacity.errors import (
    AlreadyExistsError,
    CloudError,
    InvalidRequestError,
    PermissionDeniedError,
    ThrottledError,
    UnavailableError,
)
from mistral_operator.cluster.errors import AlreadyExists, ApiError, Forbidden, Invalid, Throttled, Unauthorized

_BY_CLASS: Final[tuple[tuple[type[ApiError], type[CloudError]], ...]] = (
    (AlreadyExists, AlreadyExistsError),
    (Forbidden, PermissionDeniedError),
    (Unauthorized, PermissionDeniedError),
    (Throttled, ThrottledError),
    (Invalid, InvalidRequestError),
)


@contextmanager
def answers(translate: Callable[[ApiError], CloudError]) -> Iterator[None]:
    """Raises what the API server refused as a `CloudError`."""
    try:
        yield
    except ApiError as error:
        raise translate(error) from error


def cloud_error(error: ApiError, words: str) -> CloudError:
    """The error of the same meaning, in these words; anything else counts as no answer, which may have taken effect."""
    found = next((ours for theirs, ours in _BY_CLASS if isinstance(error, theirs)), UnavailableError)
    return found(words, verbatim=False)
