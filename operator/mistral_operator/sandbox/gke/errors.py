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
