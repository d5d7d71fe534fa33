"""The control plane built from its Go modules: about 8 minutes on 2 cores, once."""

from collections.abc import Callable
from pathlib import Path

from mistral_operator.sandbox.programs.cache import missing_programs
from mistral_operator.sandbox.programs.golang import BuildError, GoModule

from .versions import KUBERNETES_VERSION, NAMES

MAJOR, MINOR, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
MODULE = GoModule(
    directory=Path(__file__).parent.parent / "binaries",
    what="the control plane",
    duration="8 minutes",
    way_out="set KUBEBUILDER_ASSETS",
    variables={
        # Clients refuse a server that calls itself v0.0.0.
        "k8s.io/component-base/version.gitVersion": KUBERNETES_VERSION,
        "k8s.io/component-base/version.gitMajor": MAJOR,
        "k8s.io/component-base/version.gitMinor": MINOR,
        "k8s.io/client-go/pkg/version.gitVersion": KUBERNETES_VERSION,
    },
)


def build_all(directory: Path, say: Callable[[str], None]) -> None:
    """Build all binaries into `directory`. Raises BuildError."""
    MODULE.build(directory, say)
    # go names a binary after the last element of its package's path.
    directory.joinpath("server").rename(directory / "etcd")
    if missing := missing_programs(directory, NAMES):
        raise BuildError(f"go built no {', '.join(missing)}")
