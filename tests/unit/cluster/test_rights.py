"""The table of rights: every kind that the operator handles, nothing that it should never have, in every role."""

import subprocess
import sys
from pathlib import Path

from mistral_operator.cluster import kinds
from mistral_operator.cluster.rights import CLUSTER_GRANTS, CONFIG_CONNECTOR_GRANTS, LEASE_GRANTS, PROVISIONER_GRANTS
from mistral_operator.controller.options import RunOptions

ROOT = Path(__file__).parents[3]
FURTHER = (*CONFIG_CONNECTOR_GRANTS, *(grant for grants in PROVISIONER_GRANTS.values() for grant in grants))
GRANTS = (*CLUSTER_GRANTS, *LEASE_GRANTS, *FURTHER)


def test_every_kind_that_is_handled_has_its_line() -> None:
    handled = {kind for kind in vars(kinds).values() if isinstance(kind, kinds.Kind)}
    assert {grant.kind for grant in GRANTS} == handled
    for child in kinds.CHILDREN:
        (verbs,) = (grant.verbs for grant in GRANTS if grant.kind == child)
        assert set(verbs) == {"get", "list", "watch", "create", "patch", "delete"}


def test_nothing_is_granted_twice_or_to_all() -> None:
    rights = [(grant.kind.group, grant.resource, verb, grant.names) for grant in GRANTS for verb in grant.verbs]
    assert len(rights) == len(set(rights))
    assert not [right for right in rights if "*" in right]


def test_what_would_be_dangerous_is_not_granted() -> None:
    """Secrets, and the ways to more rights: roles, tokens, impersonation, commands in pods."""
    groups, resources = {grant.kind.group for grant in GRANTS}, {grant.resource for grant in GRANTS}
    assert not groups & {"rbac.authorization.k8s.io", "authentication.k8s.io", "apiextensions.k8s.io"}
    assert not resources & {
        "secrets",
        "configmaps",
        "serviceaccounts",
        "pods/exec",
        "serviceaccounts/token",
        "nodes/proxy",
    }
    assert not {verb for grant in GRANTS for verb in grant.verbs} & {
        "escalate",
        "bind",
        "impersonate",
        "deletecollection",
    }


def test_the_lease_has_the_name_that_the_operator_uses() -> None:
    assert {grant.names for grant in LEASE_GRANTS} == {(), (RunOptions().lease_name,)}


def test_the_roles_and_the_page_are_made_from_the_table() -> None:
    command = [sys.executable, ROOT / "tools" / "rights.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
