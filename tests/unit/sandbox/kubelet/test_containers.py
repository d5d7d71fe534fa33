"""A pod's phase and conditions follow from its containers'."""

import pytest

from mistral_operator.sandbox.kubelet.containers import ContainerStatus, adopted, conditions, phase

NOW = "2026-01-01T00:00:00Z"


def running(ready: bool = True) -> ContainerStatus:
    status = ContainerStatus("c", "image")
    status.run(NOW, "containerd://1")
    status.started = status.ready = ready
    return status


def ended(code: int) -> ContainerStatus:
    status = running()
    status.end(code, NOW)
    return status


def crashing() -> ContainerStatus:
    status = ended(1)
    status.restart()
    status.wait("CrashLoopBackOff", "back-off 10s")
    return status


@pytest.mark.parametrize(
    ("main", "initialized", "over", "expected"),
    [
        ([ContainerStatus("c", "i")], False, False, "Pending"),
        ([ContainerStatus("c", "i")], True, False, "Pending"),
        ([running(ready=False)], True, False, "Running"),
        ([running(), crashing()], True, False, "Running"),
        ([running(), ContainerStatus("c", "i")], True, False, "Pending"),
        ([ended(0)], True, True, "Succeeded"),
        ([ended(0), ended(3)], True, True, "Failed"),
    ],
)
def test_phase(main: list[ContainerStatus], initialized: bool, over: bool, expected: str) -> None:
    assert phase([], main, initialized=initialized, over=over) == expected


def test_ready_needs_all_containers() -> None:
    found = conditions([running(), crashing()], sandbox=True, initialized=True, over=False)
    by_type = {name: (holds, reason) for name, holds, reason, _ in found}
    assert by_type["Ready"] == by_type["ContainersReady"] == (False, "ContainersNotReady")
    assert by_type["Initialized"][0]


def test_a_readiness_gate_holds_ready_back() -> None:
    found = conditions([running()], sandbox=True, initialized=True, over=False, gates=[("lb", False)])
    by_type = {name: (holds, reason) for name, holds, reason, _ in found}
    assert by_type["ContainersReady"][0]
    assert by_type["Ready"] == (False, "ReadinessGatesNotReady")


def test_a_restart_keeps_the_last_end() -> None:
    manifest = crashing().manifest()
    assert manifest["restartCount"] == 1
    assert manifest["lastState"]["terminated"]["exitCode"] == 1
    assert manifest["lastState"]["terminated"]["reason"] == "Error"
    assert manifest["state"]["waiting"]["reason"] == "CrashLoopBackOff"


def test_what_ran_under_an_earlier_kubelet_counts_as_restarted() -> None:
    assert adopted("c", "image", running().manifest()).restarts == 1
    assert adopted("c", "image", ContainerStatus("c", "image").manifest()).restarts == 0
