"""The roles hold what the operator used in all cluster tests, and nothing else.

`make test` runs this after them: each sandbox of each worker has left what its API server's audit log says.
"""

import os
from pathlib import Path

import pytest
import yaml
from tests.support.operator_account import CONFIG_CONNECTOR_RBAC, RBAC, read_manifests
from tests.support.rights import FOLDER, Right, Use, read_recorded, read_rights
from tests.support.running_sandbox import REPOSITORY

from mistral_operator.cluster.rights import CONFIG_CONNECTOR_GRANTS, PROVISIONER_GRANTS

SCHEMAS = "MISTRAL_OPERATOR_CRDS"
LEAST_SANDBOXES = 5
"""With fewer, something has kept them from telling."""
RULES = REPOSITORY / "charts" / "mistral-operator" / "templates" / "_rights.tpl"


@pytest.fixture
def uses() -> list[Use]:
    """What was left behind, of those sandboxes that an operator ran in."""
    folder, part = os.environ.get(FOLDER), os.environ.get("MISTRAL_OPERATOR_TESTS_CHOSEN")
    if not folder:
        pytest.skip(f"{FOLDER} names no folder: `make test` runs this after all other tests")
    if part:
        pytest.skip(f"only a part of the tests was run (PYTEST_FLAGS={part}), which uses only a part of the rights")
    return [use for use in read_recorded(Path(folder)) if use.used]


@pytest.fixture
def granted() -> set[Right]:
    roles = [manifest for manifest in read_manifests(*RBAC, CONFIG_CONNECTOR_RBAC) if "rules" in manifest]
    return {right for role in roles for right in read_rights(role)}


def test_nothing_was_refused(uses: list[Use]) -> None:
    assert len(uses) >= LEAST_SANDBOXES
    refused = "".join(f"\n{what}, in {use.sandbox}" for use in uses for what in use.refused)
    assert not refused, f"rights that are missing:{refused}"


def test_every_right_is_used(uses: list[Use], granted: set[Right]) -> None:
    used = frozenset[Right]().union(*(use.used for use in uses))
    # Of kinds that no cluster test has without the definitions of others.
    unused = {right for right in granted - used if os.environ.get(SCHEMAS) or not _is_of_a_provisioner(right)}
    assert not unused, f"granted, but used in none of {len(uses)} sandboxes: {', '.join(map(str, sorted(unused)))}"
    beyond = {right: use.sandbox for use in uses for right in use.used - granted}
    assert not beyond, (
        f"used without being granted: {', '.join(f'{right} in {where}' for right, where in beyond.items())}"
    )


def test_the_chart_grants_the_same(granted: set[Right]) -> None:
    lines = [line for line in RULES.read_text().splitlines() if not line.startswith("{{")]
    assert set(read_rights({"rules": yaml.safe_load("\n".join(lines))})) == granted


def _is_of_a_provisioner(right: Right) -> bool:
    further = (*CONFIG_CONNECTOR_GRANTS, *(grant for grants in PROVISIONER_GRANTS.values() for grant in grants))
    kinds = {(grant.kind.group, grant.resource) for grant in further}
    return (right.group, right.resource) in kinds
