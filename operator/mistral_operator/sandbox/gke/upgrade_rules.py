"""What GKE accepts about automatic upgrades, which depends on the cluster's release channel."""

from typing import Any

from .errors import invalid
from .scenario import Scenario


def check_upgrades(scenario: Scenario, pool: Any) -> None:
    """A new pool's; one that says nothing of its management gets what it gets."""
    if pool.HasField("management"):
        check_auto_upgrade(scenario, pool.management)
    check_exclusion(scenario, pool.maintenance_policy)


def check_auto_upgrade(scenario: Scenario, management: Any) -> None:
    """In a channel automatic upgrades stay on."""
    if scenario.release_channel and not management.auto_upgrade:
        raise invalid(f"Auto_upgrade cannot be false when release_channel {scenario.release_channel} is set.")


def check_exclusion(scenario: Scenario, policy: Any) -> None:
    """Outside of a channel there is no exclusion of a single pool; that GKE refuses it there is unverified."""
    if policy.exclusion_until_end_of_support.enabled and not scenario.release_channel:
        raise invalid(
            "A node pool's exclusion until end of support needs a cluster that is enrolled in a release channel."
        )
