"""Where the benchmark takes place: a fresh control plane with a simulated GKE, and an account for each writer."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.journal import Journal
from tests.bench.report import say
from tests.support.polling import eventually

from mistral_operator.sandbox.control_plane import ControlPlane
from mistral_operator.sandbox.crds import install_crds
from mistral_operator.sandbox.dial import DialMap
from mistral_operator.sandbox.gke.scenario import Scenario
from mistral_operator.sandbox.gke.simulated import SimulatedGke
from mistral_operator.sandbox.kube import Kube
from mistral_operator.sandbox.kubelet import Kubelet, KubeletSettings

REPOSITORY = Path(__file__).parents[2]
SYSTEM = "mistral-operator-system"
SPEED = 50
SCENARIO = Scenario()
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"


@dataclass(frozen=True, slots=True)
class Site:
    """One of them. `admin` is the benchmark's own client; the accounts' kubeconfigs are in `directory`."""

    directory: Path
    plane: ControlPlane
    gke: SimulatedGke
    admin: Kube
    journal: Journal
    stack: AsyncExitStack

    async def account(self, name: str) -> Path:
        """A kubeconfig for the service account `mistral-operator-system:NAME`, which may do everything."""
        await self.admin.create(f"/api/v1/namespaces/{SYSTEM}/serviceaccounts", {"metadata": {"name": name}})
        subject = {"kind": "ServiceAccount", "namespace": SYSTEM, "name": name}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
        binding: dict[str, Any] = {"metadata": {"name": name}, "subjects": [subject], "roleRef": role}
        await self.admin.create(BINDINGS, binding)
        path = self.directory / f"{name}.kubeconfig"
        return await self.plane.service_account_kubeconfig(SYSTEM, name, path)

    async def start_kubelet(self) -> None:
        """Run pods from now on, without engine processes: their probes succeed when the load time is over."""
        settings = KubeletSettings(engine_processes=False, events=False)
        dial = self.stack.enter_context(DialMap())
        kubelet = Kubelet(self.plane.kubeconfig, SPEED, dial, self.directory / "pods", settings)
        await self.stack.enter_async_context(kubelet)


@asynccontextmanager
async def open_site(directory: Path, speed: float = SPEED) -> AsyncIterator[Site]:
    """Start one; it ends with the block. `directory` must be empty."""
    async with AsyncExitStack() as stack:
        plane = await stack.enter_async_context(ControlPlane(directory, say))
        admin = await stack.enter_async_context(Kube(plane.kubeconfig))
        await install_crds(admin, REPOSITORY / "crds")
        gke = await stack.enter_async_context(SimulatedGke(plane.kubeconfig, SCENARIO, speed))
        journal = Journal(plane.audit_log)
        stack.callback(journal.close)
        await new_namespace(admin, SYSTEM)
        yield Site(directory, plane, gke, admin, journal, stack)


async def new_namespace(kube: Kube, name: str) -> None:
    """Create a namespace and wait until pods may be made in it."""
    await kube.create("/api/v1/namespaces", {"metadata": {"name": name}})
    await eventually(lambda: kube.get(f"/api/v1/namespaces/{name}/serviceaccounts/default"))
