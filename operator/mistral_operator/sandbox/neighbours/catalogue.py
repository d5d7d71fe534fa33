"""The neighbours that can be had; `modules/*/go.mod` names the same versions, and a test compares them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mistral_operator.sandbox.programs.golang import GoModule

MODULES = Path(__file__).parent / "modules"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One program and what is kept beside it."""

    name: str
    """Of the program, and of its directory under `modules`."""
    module: str
    version: str
    package: str
    """The main package's directory in the module; Go names the binary after its last element."""
    duration: str
    """About how long a first build takes on 2 cores."""
    override: str = ""
    """An environment variable that names a program to use instead."""
    own_version: str = ""
    """What a program of this name in PATH must answer to `version --short` to be used instead: a beginning."""
    release: str = ""
    """Address of the official archives, without `-{os}-{arch}.tar.gz`; beside each is one with `.sha256sum`."""
    variables: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    """Files of the module that go into the cache beside the program, under the same paths."""

    @property
    def source(self) -> GoModule:
        """What it is built from."""
        way_out = f"set {self.override} to a {self.name} of your own" if self.override else f"do without {self.name}"
        return GoModule(MODULES / self.name, self.name, self.duration, way_out, self.variables)


HELM = Neighbour(
    name="helm",
    module="helm.sh/helm/v4",
    version="v4.3.1",
    package="cmd/helm",
    duration="2 minutes",
    override="MISTRAL_OPERATOR_HELM",
    own_version="v4.",
    release="https://get.helm.sh/helm-v4.3.1",
    variables={"helm.sh/helm/v4/internal/version.version": "v4.3.1"},
)
LWS = Neighbour(
    name="lws",
    module="sigs.k8s.io/lws",
    version="v0.9.0",
    package="cmd",
    duration="2 minutes",
    variables={"sigs.k8s.io/lws/pkg/version.GitVersion": "v0.9.0"},
    files=(
        "config/crd/bases/leaderworkerset.x-k8s.io_leaderworkersets.yaml",
        "config/crd/bases/disaggregatedset.x-k8s.io_disaggregatedsets.yaml",
        "config/webhook/manifests.yaml",
        "config/webhook/mutating-patch.yaml",
        "config/webhook/validating-patch.yaml",
    ),
)
NEIGHBOURS = {neighbour.name: neighbour for neighbour in (HELM, LWS)}
