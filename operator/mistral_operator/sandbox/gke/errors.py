"""Errors of the simulated API: a gRPC code and Google's words."""

from dataclasses import dataclass

import grpc

NOT_YET = "The simulated GKE does not do this yet"


@dataclass(frozen=True, slots=True)
class Failure:
    """How an operation ended; `condition` is the StatusCondition code that the pool gets, if any."""

    code: grpc.StatusCode
    message: str
    condition: str = ""

    @property
    def number(self) -> int:
        """google.rpc.Code."""
        return int(self.code.value[0])


@dataclass(frozen=True, slots=True)
class Fate:
    """What the scenario has in store for an operation: an end, before its work or after it, and how long it takes."""

    failure: Failure | None = None
    after_work: bool = False
    latency_s: float = 0
    stuck: bool = False

    @property
    def early(self) -> Failure | None:
        """The failure that keeps the work from being done."""
        return None if self.after_work else self.failure

    @property
    def late(self) -> Failure | None:
        """The failure that the operation reports although its work is done."""
        return self.failure if self.after_work else None


UNHARMED = Fate()


class RpcError(Exception):
    """A call answered with an error."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message


def invalid(message: str) -> RpcError:
    """INVALID_ARGUMENT."""
    return RpcError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_yet(what: str) -> RpcError:
    """INVALID_ARGUMENT for what a real GKE would do and this one doesn't."""
    return invalid(f"{NOT_YET}: {what}.")
