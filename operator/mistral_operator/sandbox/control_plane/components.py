"""The command lines of the four processes, and the files that they read.

All files lie in one directory, which is also each process's working directory: etcd listens on a socket in it, so that
no other user of the machine reaches the store.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from mistral_operator.sandbox.kubeconfig import Access, write_kubeconfig, write_private

from .certificates import Authority, make_signing_key

HOST = "127.0.0.1"
SERVICE_RANGE = "10.96.0.0/16"
# The first address of the range belongs to the API server's own Service.
SERVER_NAMES = (HOST, "10.96.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
# etcd wants even a socket to look like host:port; it is a file of that name.
ETCD_SOCKET = "etcd.sock:2379"
PEER_SOCKET = "etcd.sock:2380"

# Recorded is who did what to which object and with what result, without bodies. Tests count writes here.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "omitManagedFields": True,
    "rules": [
        {"level": "None", "nonResourceURLs": ["/healthz*", "/livez*", "/readyz*"]},
        {"level": "Metadata"},
    ],
}

SCHEDULER_CONFIG = {
    "apiVersion": "kubescheduler.config.k8s.io/v1",
    "kind": "KubeSchedulerConfiguration",
    "leaderElection": {"leaderElect": False},
    "clientConnection": {"kubeconfig": "scheduler.kubeconfig", "qps": 500, "burst": 1000},
    # Nodes come within seconds here: a pod that didn't fit is tried again soon.
    "podInitialBackoffSeconds": 1,
    "podMaxBackoffSeconds": 2,
}


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the control plane lives: its directory, and the API server's port."""

    directory: Path
    port: int

    @property
    def server(self) -> str:
        return f"https://{HOST}:{self.port}"

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        return self.directory / "audit.log"

    @property
    def logs(self) -> Path:
        return self.directory / "logs"


def write_files(layout: Layout) -> str:
    """Write certificates, keys, kubeconfigs and configurations. Returns the authority's certificate (PEM)."""
    directory = layout.directory
    authority, front_proxy = Authority("mistral-sandbox-ca"), Authority("mistral-sandbox-front-proxy-ca")
    write_private(directory / "ca.crt", authority.certificate_pem)
    write_private(directory / "front-proxy-ca.crt", front_proxy.certificate_pem)
    authority.server("kube-apiserver", SERVER_NAMES).write(directory, "apiserver")
    front_proxy.client("front-proxy-client").write(directory, "front-proxy")
    private, public = make_signing_key()
    write_private(directory / "service-account.key", private)
    write_private(directory / "service-account.pub", public)
    identities = {
        "kubeconfig": ("mistral-sandbox-admin", ["system:masters"]),
        "controller-manager.kubeconfig": ("system:kube-controller-manager", []),
        "scheduler.kubeconfig": ("system:kube-scheduler", []),
    }
    for file, (user, groups) in identities.items():
        pair = authority.client(user, groups)
        access = Access(layout.server, authority.certificate_pem, pair.certificate_pem, pair.key_pem)
        write_kubeconfig(directory / file, access)
    write_private(directory / "audit-policy.json", json.dumps(AUDIT_POLICY))
    write_private(directory / "scheduler.json", json.dumps(SCHEDULER_CONFIG))
    return authority.certificate_pem


def etcd_args() -> list[str]:
    """A store that may lose its last writes with the machine's power: nothing in a sandbox outlives its processes."""
    return [
        "--name=sandbox",
        "--data-dir=etcd",
        "--unsafe-no-fsync",
        f"--listen-client-urls=unix://{ETCD_SOCKET}",
        f"--advertise-client-urls=unix://{ETCD_SOCKET}",
        f"--listen-peer-urls=unix://{PEER_SOCKET}",
        f"--initial-advertise-peer-urls=unix://{PEER_SOCKET}",
        f"--initial-cluster=sandbox=unix://{PEER_SOCKET}",
        f"--quota-backend-bytes={4 * 1024**3}",
        "--log-level=warn",
    ]


def api_server_args(layout: Layout) -> list[str]:
    """The API server: RBAC, default admission, aggregation, and an audit log written before each answer is sent."""
    return [
        f"--etcd-servers=unix://{ETCD_SOCKET}",
        f"--bind-address={HOST}",
        f"--advertise-address={HOST}",
        f"--secure-port={layout.port}",
        "--endpoint-reconciler-type=none",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--cert-dir=.",
        "--tls-cert-file=apiserver.crt",
        "--tls-private-key-file=apiserver.key",
        "--client-ca-file=ca.crt",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-account-key-file=service-account.pub",
        "--service-account-signing-key-file=service-account.key",
        # What an aggregated API server (a metrics adapter) needs to believe the proxied user.
        "--requestheader-client-ca-file=front-proxy-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--proxy-client-cert-file=front-proxy.crt",
        "--proxy-client-key-file=front-proxy.key",
        "--audit-policy-file=audit-policy.json",
        f"--audit-log-path={layout.audit_log.name}",
        "--audit-log-maxsize=1024",
        # Priority and fairness stays on, as on GKE; the shares are wide enough that only a broken client is throttled.
        "--max-requests-inflight=1000",
        "--max-mutating-requests-inflight=500",
        "--profiling=false",
    ]


def controller_manager_args() -> list[str]:
    """All default controllers, each with its own service account; the pod autoscaler looks every second."""
    return [
        "--kubeconfig=controller-manager.kubeconfig",
        "--secure-port=0",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        "--root-ca-file=ca.crt",
        "--service-account-private-key-file=service-account.key",
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        "--horizontal-pod-autoscaler-sync-period=1s",
        "--horizontal-pod-autoscaler-downscale-stabilization=3s",
        "--profiling=false",
    ]


def scheduler_args() -> list[str]:
    """The default scheduler."""
    return ["--config=scheduler.json", "--secure-port=0"]
