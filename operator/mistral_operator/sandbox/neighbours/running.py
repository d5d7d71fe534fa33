"""The neighbours that the sandbox can run beside its control plane."""

from pathlib import Path
from typing import Final, Protocol, Self

from .lws import LeaderWorkerSets


class RunningNeighbour(Protocol):
    """An async context manager: inside it, the neighbour works."""

    def __init__(self, program: Path, directory: Path, kubeconfig: Path) -> None:
        """`directory` is the sandbox's; a neighbour makes one of its own in it."""

    @staticmethod
    def definitions(program: Path) -> Path:
        """A directory of custom resource definitions that have to be there first."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    def check(self) -> None:
        """Raises NeighbourError when it has ended by itself."""


CONFIG_CONNECTOR: Final = "config-connector"
STAND_INS: Final = (CONFIG_CONNECTOR,)
"""What the sandbox itself can play, where MISTRAL_OPERATOR_CRDS names a folder with the definitions."""

RUNNABLE: Final[dict[str, type[RunningNeighbour]]] = {"lws": LeaderWorkerSets}

COMPANIONS: Final = (*sorted(RUNNABLE), *STAND_INS)
"""All that `--with` can name."""
