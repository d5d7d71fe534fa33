"""How a container calls its program, and what runs instead."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """A container's command line, $(NAME) expanded as the kubelet does."""

    image: str
    command: tuple[str, ...]
    """Empty: the image's own entrypoint."""
    args: tuple[str, ...]
    values: Mapping[str, str]
    """Its environment, for what a shell expands."""
    address: str = ""
    """Where the pod's processes listen."""

    @property
    def words(self) -> tuple[str, ...]:
        return self.command + self.args


@dataclass(frozen=True, slots=True)
class Program:
    """A stand-in to run: `python -m MODULE ARGUMENTS…`, with the container's environment."""

    module: str
    arguments: tuple[str, ...]
    loads: bool = True
    """Where no processes run (`engine_processes=False`), it counts as ready after the load time; else at once."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The program can't be run as it is called: what a shell would say, and its exit status."""

    text: str
    exit_code: int = 127
