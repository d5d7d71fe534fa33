"""The custom role for Google Cloud has just the permissions that the calls in the code need."""

import inspect
import re
from pathlib import Path

import yaml

from mistral_operator.capacity import container_api

ROLE = Path(__file__).parents[3] / "deploy" / "gcp-role.yaml"

PERMISSIONS = {
    "get_cluster": "container.clusters.get",
    "list_node_pools": "container.clusters.get",
    "create_node_pool": "container.clusters.update",
    "set_node_pool_autoscaling": "container.clusters.update",
    "delete_node_pool": "container.clusters.update",
    "get_operation": "container.operations.get",
}
"""Method of Google's client → permission, as the Kubernetes Engine documentation has it under "API permissions"."""


CONFIG_CONNECTOR_ROLE = ROLE.with_name("gcp-role-config-connector.yaml")


def test_config_connector_gets_what_the_same_calls_need() -> None:
    """Besides it reads the instance groups of a pool, whose addresses the operator waits for."""
    role = yaml.safe_load(CONFIG_CONNECTOR_ROLE.read_text())
    assert set(role["includedPermissions"]) == {*PERMISSIONS.values(), "compute.instanceGroupManagers.get"}


def test_the_role_has_what_the_calls_need_and_nothing_else() -> None:
    called = set(re.findall(r"_client\.([a-z_]+)\(", inspect.getsource(container_api)))
    assert called == set(PERMISSIONS)
    role = yaml.safe_load(ROLE.read_text())
    assert role["includedPermissions"] == sorted(set(PERMISSIONS.values()))
