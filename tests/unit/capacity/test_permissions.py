"""The custom role for Google Cloud has just the permissions that the calls in the code need."""

import inspect
import re
from pathlib import Path

import yaml

from mistral_operator.capacity.provisioners import compute_policies, container_api

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


COMPUTE_PERMISSIONS = {
    ("GET", "resourcePolicies"): "compute.resourcePolicies.list",
    ("GET", "resourcePolicies/{name}"): "compute.resourcePolicies.get",
    ("POST", "resourcePolicies"): "compute.resourcePolicies.create",
    ("DELETE", "resourcePolicies/{name}"): "compute.resourcePolicies.delete",
    ("GET", "operations/{name}"): "compute.regionOperations.get",
}
"""Verb and path within a region → permission, as Compute Engine's reference has it."""

CONFIG_CONNECTOR_ROLE = ROLE.with_name("gcp-role-config-connector.yaml")


def test_config_connector_gets_what_the_same_calls_need() -> None:
    """Besides it reads the instance groups of a pool, whose addresses the operator waits for."""
    role = yaml.safe_load(CONFIG_CONNECTOR_ROLE.read_text())
    assert set(role["includedPermissions"]) == {*PERMISSIONS.values(), "compute.instanceGroupManagers.get"}


def test_the_role_has_what_the_calls_need_and_nothing_else() -> None:
    called = set(re.findall(r"_client\.([a-z_]+)\(", inspect.getsource(container_api)))
    assert called == set(PERMISSIONS)
    role = yaml.safe_load(ROLE.read_text())
    asked = set(re.findall(r'send\("([A-Z]+)", f"\{self\._region\}/([^"]+)"', inspect.getsource(compute_policies)))
    assert asked == set(COMPUTE_PERMISSIONS)
    assert role["includedPermissions"] == sorted({*PERMISSIONS.values(), *COMPUTE_PERMISSIONS.values()})
