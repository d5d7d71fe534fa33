"""The operator's own ServiceAccount on a sandbox's API server, with the rights of deploy/ and no others."""

from pathlib import Path
from typing import Any

import yaml
from tests.support.polling import eventually
from tests.support.running_sandbox import REPOSITORY

from mistral_operator.sandbox.kube import Kube
from mistral_operator.sandbox.kubeconfig import Access, read_kubeconfig, write_kubeconfig

RBAC = (REPOSITORY / "deploy" / "rbac.yaml", REPOSITORY / "deploy" / "compute-class.yaml")
"""What every operator needs, and what one provisioner needs beside that."""
CONFIG_CONNECTOR_RBAC = REPOSITORY / "deploy" / "rbac-config-connector.yaml"
"""What the provisioner ConfigConnector needs besides; only tests of it give that."""
NAMESPACE, NAME = "mistral-operator-system", "mistral-operator"
TOKEN_LIFETIME_S = 24 * 3600
ROLES = "/apis/rbac.authorization.k8s.io/v1"
COLLECTIONS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts",
    "ClusterRole": f"{ROLES}/clusterroles",
    "ClusterRoleBinding": f"{ROLES}/clusterrolebindings",
    "Role": f"{ROLES}/namespaces/{NAMESPACE}/roles",
    "RoleBinding": f"{ROLES}/namespaces/{NAMESPACE}/rolebindings",
}


async def become_operator(admin: Path, directory: Path) -> Path:
    """Make the account where it isn't there; a kubeconfig for it, written into `directory`."""
    access = read_kubeconfig(admin)
    async with Kube(access) as kube:
        for manifest in read_manifests():
            path = f"{COLLECTIONS[manifest['kind']]}/{manifest['metadata']['name']}"
            await kube.apply(path, manifest, "test")
        await eventually(lambda: _is_granted(kube), message="the roles are in force")
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": TOKEN_LIFETIME_S},
        }
        answer = await kube.create(f"{COLLECTIONS['ServiceAccount']}/{NAME}/token", body)
    own = Access(access.server, access.ca_pem, token=answer["status"]["token"])
    return write_kubeconfig(directory / "operator.kubeconfig", own, namespace=NAMESPACE)


async def allow_config_connector(kube: Kube) -> None:
    """Give the account what that provisioner needs besides."""
    for manifest in read_manifests(CONFIG_CONNECTOR_RBAC):
        await kube.apply(f"{COLLECTIONS[manifest['kind']]}/{manifest['metadata']['name']}", manifest, "test")


def read_manifests(*files: Path) -> list[dict[str, Any]]:
    """Everything in these files; without any, what every operator is given."""
    return [manifest for file in files or RBAC for manifest in yaml.safe_load_all(file.read_text())]


async def _is_granted(kube: Kube) -> bool:
    """The API server learns of new roles a moment after it has stored them: asked about the last rule of each role."""
    wanted = (
        ("", "", "events", "create", ""),
        ("", "cloud.google.com", "computeclasses", "delete", ""),
        (NAMESPACE, "coordination.k8s.io", "leases", "update", NAME),
    )
    answers = [await _review(kube, *right) for right in wanted]
    return all(answer["status"]["allowed"] for answer in answers)


async def _review(kube: Kube, namespace: str, group: str, resource: str, verb: str, name: str) -> dict[str, Any]:
    """Asked as administrator, so that the account itself asks for nothing that it doesn't need."""
    attributes = {"namespace": namespace, "group": group, "resource": resource, "verb": verb, "name": name}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": f"system:serviceaccount:{NAMESPACE}:{NAME}", "resourceAttributes": attributes},
    }
    return await kube.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
