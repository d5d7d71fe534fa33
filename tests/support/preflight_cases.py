"""A rung, what Google answers about it, and what a preflight makes of that, short to write in tests."""

from dataclasses import replace
from typing import Any

from mistral_operator.api.capacity import Consumption
from mistral_operator.capacity.advice import ClusterPlace
from mistral_operator.capacity.port import ClusterView
from mistral_operator.capacity.preflight.facts import POOL_PERMISSIONS, AskedRung, LiveFacts, Quota, ReservationView
from mistral_operator.capacity.preflight.judge import LiveFinding, Verdict, check_rungs

PLACE = ClusterPlace("team-project", "us-central1", "serving")
CLUSTER = ClusterView("team-project", "us-central1", "serving", ("us-central1-a",), "1.34.1-gke.1000000", False)
AUTOPILOT = replace(CLUSTER, autopilot=True)
A, B = "us-central1-a", "us-central1-b"
L4 = "NVIDIA_L4_GPUS"
RUNG = AskedRung(
    name="g2-standard-48-ondemand",
    machine_type="g2-standard-48",
    gpu="nvidia-l4",
    devices=4,
    hosts=1,
    replicas=2,
    zones=(A, B),
    consumption=Consumption.ON_DEMAND,
    quota=L4,
    hardware="NVIDIA L4",
)
RESERVED = replace(RUNG, name="reserved", consumption=Consumption.RESERVATION, quota="", reservation="gpus")
FACTS = LiveFacts(
    place=PLACE,
    identity="operator@team-project.iam.gserviceaccount.com",
    cluster=CLUSTER,
    granted=frozenset(POOL_PERMISSIONS),
    quotas={"us-central1": {L4: Quota(16, 0)}},
    project_quotas={"GPUS_ALL_REGIONS": Quota(16, 0)},
    machine_zones={"g2-standard-48": frozenset({A, B})},
    gpu_zones={},
    reservations={"gpus": (ReservationView(A, "g2-standard-48", 4, 1, "READY"),)},
)


def find(check: str, rung: AskedRung = RUNG, **facts: Any) -> LiveFinding:
    """The worst finding of one check."""
    found = [item for item in findings(rung, **facts) if item.check == check]
    return max(found, key=lambda item: list(Verdict).index(item.verdict))


def findings(*rungs: AskedRung, **facts: Any) -> tuple[LiveFinding, ...]:
    return check_rungs(rungs, replace(FACTS, **facts))


def told(finding: LiveFinding) -> tuple[str, str]:
    return finding.verdict.value, finding.reason
