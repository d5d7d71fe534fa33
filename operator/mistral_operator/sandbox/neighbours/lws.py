"""The real LeaderWorkerSet controller as a local process, with the webhooks that it can't do without.

Without them pods get no LWS_* and TPU_* variables. The API server calls them on loopback by a URL, where a cluster
would have a Service. The controller works as the sandbox's administrator: its own roles aren't what is tested here.
"""

import asyncio
import base64
import re
import time
from pathlib import Path
from typing import Any, Self

import yaml

from mistral_operator.sandbox.control_plane.certificates import Authority
from mistral_operator.sandbox.control_plane.ports import free_port
from mistral_operator.sandbox.kube import Kube, KubeError
from mistral_operator.sandbox.kubeconfig import write_json, write_private
from mistral_operator.sandbox.processes import Process, ProcessGroup

from .errors import NeighbourError

Object = dict[str, Any]

HOST = "127.0.0.1"
MANAGER = "mistral-sandbox"
START_TIMEOUT_S = 60.0
POLL_S = 0.05
# The module's manifests leave the prefix to kustomize.
PREFIX = "lws-"
COLLECTIONS = {
    "MutatingWebhookConfiguration": "mutatingwebhookconfigurations",
    "ValidatingWebhookConfiguration": "validatingwebhookconfigurations",
}
PATCHES = {
    "MutatingWebhookConfiguration": "mutating-patch.yaml",
    "ValidatingWebhookConfiguration": "validating-patch.yaml",
}
PROBE: Object = {
    "apiVersion": "leaderworkerset.x-k8s.io/v1",
    "kind": "LeaderWorkerSet",
    "metadata": {"name": "is-the-webhook-there"},
    "spec": {
        "replicas": 1,
        "leaderWorkerTemplate": {
            "size": 2,
            "workerTemplate": {"spec": {"containers": [{"name": "none", "image": "none"}]}},
        },
    },
}


class LeaderWorkerSets:
    """An async context manager: inside it, LeaderWorkerSets work. It ends with this process.

    Its `definitions` must be established before.
    """

    @staticmethod
    def definitions(program: Path) -> Path:
        """The directory of the custom resource definitions that came with the program."""
        return program.parent / "config" / "crd" / "bases"

    def __init__(self, program: Path, directory: Path, kubeconfig: Path) -> None:
        """`program` came with its module's manifests beside it; `directory` is for its files and its log."""
        self._program = program
        self._directory = directory / "lws"
        self._kubeconfig = kubeconfig
        self._port = free_port(HOST)
        self._group = ProcessGroup()
        self._process: Process | None = None

    async def __aenter__(self) -> Self:
        self._directory.mkdir(exist_ok=True)
        ca_pem = self._write_files()
        self._group.__enter__()
        try:
            async with Kube(self._kubeconfig) as kube:
                for configuration in webhook_configurations(self._program.parent, self._port, ca_pem):
                    name = configuration["metadata"]["name"]
                    collection = f"/apis/admissionregistration.k8s.io/v1/{COLLECTIONS[configuration['kind']]}"
                    await kube.apply(f"{collection}/{name}", configuration, MANAGER)
                args: list[str | Path] = [self._program, "--config", "configuration.json"]
                args += ["--kubeconfig", self._kubeconfig, "--zap-log-level", "info"]
                log = self._directory / "lws.log"
                self._process = self._group.spawn("lws", args, log, cwd=self._directory)
                await self._until_it_serves(kube, self._process)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._group.close)

    def check(self) -> None:
        """Raises NeighbourError when it has ended by itself."""
        process = self._process
        if process and not process.running:
            raise NeighbourError(f"{process.name} ended with {process.popen.returncode}:\n{process.log_tail()}")

    def _write_files(self) -> str:
        """Certificate, key and configuration; returns the authority's certificate (PEM)."""
        authority = Authority("mistral-sandbox-lws-ca")
        pair = authority.server("lws-webhook", [HOST])
        write_private(self._directory / "tls.crt", pair.certificate_pem)
        write_private(self._directory / "tls.key", pair.key_pem)
        configuration = {
            "apiVersion": "config.lws.x-k8s.io/v1alpha1",
            "kind": "Configuration",
            "leaderElection": {"leaderElect": False},
            "internalCertManagement": {"enable": False},
            "webhook": {"host": HOST, "port": self._port, "certDir": str(self._directory)},
            # No other ports: nobody asks there.
            "metrics": {"bindAddress": "0"},
            "health": {"healthProbeBindAddress": "0"},
        }
        write_json(self._directory / "configuration.json", configuration)
        return authority.certificate_pem

    async def _until_it_serves(self, kube: Kube, process: Process) -> None:
        """A set that is only tried comes back with the defaults that the webhook writes."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                path = "/apis/leaderworkerset.x-k8s.io/v1/namespaces/default/leaderworkersets"
                answer = await kube.create(path, PROBE, {"dryRun": "All"})
                assert answer["spec"]["rolloutStrategy"], "the webhook didn't answer for itself"
                return
            except KubeError as error:
                self.check()
                if time.monotonic() > deadline:
                    raise NeighbourError(
                        f"lws doesn't serve after {START_TIMEOUT_S:g} s: {error}\n{process.log_tail()}"
                    ) from None
            await asyncio.sleep(POLL_S)


def webhook_configurations(directory: Path, port: int, ca_pem: str) -> list[Object]:
    """The module's own webhook configurations, for a server on loopback. Raises NeighbourError."""
    webhooks = directory / "config" / "webhook"
    configurations = list(yaml.safe_load_all(webhooks.joinpath("manifests.yaml").read_text()))
    for configuration in configurations:
        _patch(configuration, yaml.safe_load(webhooks.joinpath(PATCHES[configuration["kind"]]).read_text()))
        configuration["metadata"]["name"] = PREFIX + configuration["metadata"]["name"]
        for webhook in configuration["webhooks"]:
            path = webhook["clientConfig"]["service"]["path"]
            webhook["clientConfig"] = {
                "url": f"https://{HOST}:{port}{path}",
                "caBundle": base64.b64encode(ca_pem.encode()).decode(),
            }
    return configurations


def _patch(configuration: Object, operations: list[Object]) -> None:
    """Of JSON patches only what the module uses: a whole webhook replaced (it says which pods are asked about)."""
    for operation in operations:
        match = re.fullmatch(r"/webhooks/(\d+)", operation["path"])
        if operation["op"] != "replace" or match is None:
            raise NeighbourError(f"lws: a patch that isn't understood: {operation['op']} {operation['path']}")
        configuration["webhooks"][int(match[1])] = operation["value"]
