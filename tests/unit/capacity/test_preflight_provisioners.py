"""What a preflight asks and finds, by what makes the node pools of a rung."""

from dataclasses import replace

from tests.support.preflight_cases import AUTOPILOT, FACTS, RUNG, find, findings, told

from mistral_operator.capacity.preflight.facts import POOL_PERMISSIONS, READ_PERMISSION, list_questions
from mistral_operator.capacity.preflight.judge import Verdict, check_rungs, judge
from mistral_operator.planning.types import Provisioner

PROVISIONERS = (Provisioner.CONTAINER_API, Provisioner.CONFIG_CONNECTOR, Provisioner.COMPUTE_CLASS)


def test_on_autopilot_a_compute_class_is_not_blocked_and_whoever_makes_pools_is() -> None:
    rungs = [replace(RUNG, name=maker.value, provisioner=maker) for maker in PROVISIONERS]
    found = findings(*rungs, cluster=AUTOPILOT)
    verdicts = {rung.name: judge(found, rung.name).value for rung in rungs}
    assert verdicts == {"ContainerAPI": "blocked", "ConfigConnector": "blocked", "ComputeClass": "ok"}
    (blocked,) = (item for item in findings(rungs[0], cluster=AUTOPILOT) if item.verdict is Verdict.BLOCKED)
    assert "ContainerAPI can't make node pools; write spec.capacity.provisioner: ComputeClass" in blocked.message


def test_whoever_leaves_the_pools_to_others_is_asked_for_no_right_to_make_any() -> None:
    for maker in (Provisioner.COMPUTE_CLASS, Provisioner.CONFIG_CONNECTOR):
        left = replace(RUNG, provisioner=maker, placement_policy=True)
        assert list_questions([left]).permissions == (READ_PERMISSION,)
        assert told(find("permissions", left, granted=frozenset({READ_PERMISSION}))) == ("ok", "PermissionsGranted")
        lacking = find("permissions", left, granted=frozenset())
        assert f"lacks {READ_PERMISSION} in" in lacking.message
        assert lacking.command.endswith("--role roles/container.clusterViewer")


def test_of_several_models_each_is_told_of_the_rights_that_it_needs_itself() -> None:
    """They are asked about together."""
    left = replace(RUNG, provisioner=Provisioner.COMPUTE_CLASS)
    facts = replace(FACTS, granted=frozenset({READ_PERMISSION}))
    assert list_questions([RUNG, left]).permissions == POOL_PERMISSIONS
    reasons = [{item.reason for item in check_rungs([rung], facts)} for rung in (RUNG, left)]
    assert ["PermissionsMissing" in found for found in reasons] == [True, False]
