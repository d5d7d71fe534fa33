"""What Google's answers mean for a ladder, each way in which it can be blocked, and the command that fixes it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.support.preflight_cases import (
    AUTOPILOT,
    CLUSTER,
    FACTS,
    L4,
    RESERVED,
    RUNG,
    A,
    B,
    find,
    findings,
    told,
)

from mistral_operator.api.capacity import Consumption
from mistral_operator.api.model import MistralModel
from mistral_operator.capacity.errors import classify
from mistral_operator.capacity.preflight.facts import (
    POLICY_PERMISSIONS,
    POOL_PERMISSIONS,
    Quota,
    ReservationView,
    describe_rungs,
    list_questions,
    split_reservation,
)
from mistral_operator.capacity.preflight.judge import Verdict, judge
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.cli.profile import DEFAULT
from mistral_operator.cli.settings import offline_settings
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.types import Plan

ROOT = Path(__file__).parents[3]
DENIED = classify("PERMISSION_DENIED", "Required 'compute.regions.get' permission for 'projects/team-project'").finding


def test_where_nothing_stands_in_the_way_everything_is_ok() -> None:
    found = findings(RUNG, RESERVED)
    assert {item.verdict for item in found} == {Verdict.OK}
    assert {item.check for item in found} == {"cluster", "permissions", "zones", "quota", "reservation"}
    assert judge(found, RUNG.name) is Verdict.OK


QUOTAS = [
    (Quota(16, 9), "warning", "QuotaForFewer", "17"),
    (Quota(8, 0), "ok", "QuotaSuffices", ""),
    (Quota(3, 0), "blocked", "QuotaTooSmall", "8"),
    (Quota(16, 13), "blocked", "QuotaUsedUp", "21"),
    (Quota(4, 8), "blocked", "QuotaUsedUp", "16"),
]


@pytest.mark.parametrize(("quota", "verdict", "reason", "limit"), QUOTAS)
def test_a_quota_is_compared_with_one_replica_and_with_all(quota: Quota, verdict: str, reason: str, limit: str) -> None:
    found = find("quota", quotas={"us-central1": {L4: quota}})
    assert told(found) == (verdict, reason)
    if limit:
        assert "--quota-id NVIDIA-L4-GPUS-per-project-region" in found.command
        assert f"--preferred-value {limit} --dimensions region=us-central1" in found.command


@pytest.mark.parametrize(("quota", "verdict", "reason", "limit"), QUOTAS)
def test_gpus_on_demand_count_against_the_quota_of_all_regions_too(
    quota: Quota, verdict: str, reason: str, limit: str
) -> None:
    found = find("quota", project_quotas={"GPUS_ALL_REGIONS": quota})
    assert told(found) == (verdict, reason)
    if limit:
        assert "--quota-id GPUS-ALL-REGIONS-per-project --preferred-value" in found.command


def test_only_gpus_on_demand_count_against_the_quota_of_all_regions() -> None:
    none = {"GPUS_ALL_REGIONS": Quota(0, 0)}
    spot = replace(RUNG, consumption=Consumption.SPOT)
    tpu = replace(RUNG, gpu="", machine_type="g2-standard-48")
    assert all(item.verdict is Verdict.OK for item in findings(spot, tpu, RESERVED, project_quotas=none))


def test_a_reservation_needs_no_quota() -> None:
    assert not [item for item in findings(RESERVED, quotas={}) if item.check == "quota"]


def test_a_quota_that_compute_engine_does_not_tell_is_a_warning_with_where_to_look() -> None:
    gpu, tpu = (find("quota", replace(RUNG, gpu=gpu), quotas={"us-central1": {}}) for gpu in ("nvidia-b200", ""))
    assert told(gpu) == told(tpu) == ("warning", "QuotaNotTold")
    assert "gcloud beta quotas info describe GPUS-PER-GPU-FAMILY-per-project-region" in gpu.command
    assert "TPUS-PER-TPU-FAMILY-per-project-region" in tpu.command
    assert told(find("quota", replace(RUNG, quota=""))) == ("warning", "QuotaUnknown")


def test_each_region_has_its_own_quota() -> None:
    both = replace(RUNG, zones=(A, "us-east4-c"))
    found = findings(
        both,
        quotas={"us-central1": {L4: Quota(16, 0)}, "us-east4": {L4: Quota(0, 0)}},
        machine_zones={RUNG.machine_type: frozenset({A, "us-east4-c"})},
    )
    assert [item.reason for item in found if L4 in item.message] == ["QuotaSuffices", "QuotaTooSmall"]


def test_a_pool_is_refused_when_one_of_its_zones_lacks_the_machine() -> None:
    found = find("zones", machine_zones={"g2-standard-48": frozenset({A})})
    assert told(found) == ("blocked", "SomeZonesLack")
    assert f"not offered in {B}; write zones: [{A}]" in found.message
    assert found.command == 'gcloud compute machine-types list --project team-project --filter="name=g2-standard-48"'


def test_a_slice_is_made_in_the_zone_that_has_the_machine() -> None:
    slice_ = replace(RUNG, hosts=2)
    assert told(find("zones", slice_, machine_zones={"g2-standard-48": frozenset({A})})) == ("warning", "SomeZonesLack")
    assert told(find("zones", slice_, machine_zones={})) == ("blocked", "NoZoneOffers")


def test_gpus_that_are_attached_have_zones_of_their_own() -> None:
    t4 = replace(RUNG, machine_type="n1-standard-8", gpu="nvidia-tesla-t4")
    machines = {"n1-standard-8": frozenset({A, B})}
    assert list_questions([RUNG]).gpus == ()
    assert list_questions([t4]).gpus == ("nvidia-tesla-t4",)
    lacking = find("zones", t4, machine_zones=machines, gpu_zones={"nvidia-tesla-t4": frozenset({A})})
    assert told(lacking) == ("blocked", "SomeZonesLack")
    assert "gcloud compute accelerator-types list" in lacking.command
    there = find("zones", t4, machine_zones=machines, gpu_zones={"nvidia-tesla-t4": frozenset({A, B})})
    assert there.verdict is Verdict.OK


@pytest.mark.parametrize(
    ("reservations", "verdict", "reason", "words"),
    [
        ((), "blocked", "ReservationNotFound", "project team-project has no reservation gpus"),
        ((ReservationView(A, "g2-standard-96", 4, 0, "READY"),), "blocked", "ReservationOfOtherMachines", "96"),
        ((ReservationView("us-central1-f", "g2-standard-48", 4, 0, "READY"),), "blocked", "ReservationElsewhere", "-f"),
        ((ReservationView(A, "g2-standard-48", 4, 0, "CREATING"),), "blocked", "ReservationNotReady", "CREATING"),
        ((ReservationView(A, "g2-standard-48", 4, 4, "READY"),), "blocked", "ReservationFull", "0 of 4 machines free"),
        ((ReservationView(A, "g2-standard-48", 4, 3, "READY"),), "warning", "ReservationForFewer", "and 2 may run"),
        ((ReservationView(A, "g2-standard-48", 4, 2, "READY"),), "ok", "ReservationSuffices", "2 of 4 machines free"),
    ],
)
def test_a_reservation_must_be_there_fit_and_have_machines_left(
    reservations: tuple[ReservationView, ...], verdict: str, reason: str, words: str
) -> None:
    found = find("reservation", RESERVED, reservations={"gpus": reservations})
    assert told(found) == (verdict, reason)
    assert words in found.message


AGGREGATE = ReservationView(A, "", None, 0, "READY", "VM_FAMILY_CLOUD_TPU_LITE_POD_SLICE_CT6E")


def test_an_aggregate_reservation_is_a_warning_because_it_is_not_counted() -> None:
    found = find("reservation", RESERVED, reservations={"gpus": (AGGREGATE,)})
    assert told(found) == ("warning", "ReservationNotCounted")
    assert "gpus is kept as an aggregate reservation; its free count isn't checked" in found.message
    assert f"{AGGREGATE.family} in {A}" in found.message
    assert found.command == "gcloud compute reservations describe gpus --zone us-central1-a --project team-project"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"zone": "us-central1-f"}, "ReservationElsewhere"), ({"status": "CREATING"}, "ReservationNotReady")],
)
def test_an_aggregate_reservation_must_be_there_and_ready_all_the_same(changes: Mapping[str, Any], reason: str) -> None:
    found = find("reservation", RESERVED, reservations={"gpus": (replace(AGGREGATE, **changes),)})
    assert told(found) == ("blocked", reason)
    assert AGGREGATE.family in found.message


def test_a_full_reservation_beside_an_aggregate_one_blocks_nothing() -> None:
    full = ReservationView(B, "g2-standard-48", 4, 4, "READY")
    assert told(find("reservation", RESERVED, reservations={"gpus": (full, AGGREGATE)}))[0] == "warning"


def test_a_full_reservation_can_be_grown_by_what_is_lacking() -> None:
    full = (ReservationView(A, "g2-standard-48", 4, 3, "READY"),)
    found = find("reservation", RESERVED, reservations={"gpus": full})
    assert found.command == (
        "gcloud compute reservations update gpus --zone us-central1-a --project team-project --vm-count 5"
    )


def test_machines_of_a_replica_come_from_one_zone() -> None:
    wide = replace(RESERVED, hosts=2, replicas=1)
    scattered = tuple(ReservationView(zone, "g2-standard-48", 1, 0, "READY") for zone in (A, B))
    assert told(find("reservation", wide, reservations={"gpus": scattered})) == ("blocked", "ReservationFull")


def test_a_shared_reservation_is_asked_of_its_own_project() -> None:
    path = "projects/platform/reservations/gpus"
    assert split_reservation(path, "team-project") == ("platform", "gpus")
    assert split_reservation("gpus", "team-project") == ("team-project", "gpus")
    shared = replace(RESERVED, reservation=path)
    found = find("reservation", shared, reservations={path: ()})
    assert "project platform has no reservation gpus" in found.message
    assert "--project platform" in found.command


def test_an_old_cluster_is_to_be_upgraded() -> None:
    ironwood = replace(RUNG, min_gke_version="1.35.0-gke.1", hardware="TPU v7x")
    found = find("version", ironwood)
    assert told(found) == ("blocked", "ClusterTooOld")
    assert "gcloud container clusters upgrade serving --master --cluster-version 1.35.0-gke.1" in found.command
    assert told(find("version", replace(ironwood, min_gke_version="1.34.0-gke.2201000"))) == ("ok", "ClusterNewEnough")
    unreadable = find("version", ironwood, cluster=replace(CLUSTER, version="latest"))
    assert told(unreadable) == ("warning", "VersionUnreadable")


def test_a_cluster_without_pools_of_ones_own_or_that_is_not_there_blocks_everything() -> None:
    autopilot = findings(RUNG, RESERVED, cluster=AUTOPILOT)
    missing = findings(RUNG, RESERVED, cluster=classify("NOT_FOUND", "Not found: serving").finding)
    for found, reason in ((autopilot, "AutopilotCluster"), (missing, "ClusterNotFound")):
        assert [item.reason for item in found if item.verdict is Verdict.BLOCKED] == [reason]
        assert judge(found, RUNG.name) is judge(found, RESERVED.name) is Verdict.BLOCKED


def test_what_a_service_account_lacks_blocks_and_what_a_person_lacks_warns() -> None:
    some = frozenset(POOL_PERMISSIONS[:1])
    account, person = (find("permissions", granted=some, identity=name) for name in (FACTS.identity, ""))
    assert told(account) == ("blocked", "PermissionsMissing")
    assert told(person) == ("warning", "PermissionsMissing")
    assert "lacks container.clusters.update, container.operations.get" in account.message
    assert f"--member serviceAccount:{FACTS.identity} --role projects/team-project/roles/mistral" in account.command
    assert "--member PRINCIPAL" in person.command


def test_what_is_granted_on_the_nodes_account_is_said_not_to_be_asked() -> None:
    found = find("permissions")
    assert told(found) == ("ok", "PermissionsGranted")
    assert "iam.serviceAccounts.actAs on the nodes' account isn't asked" in found.message


def test_the_permissions_are_those_of_the_role_that_is_handed_out() -> None:
    role = yaml.safe_load((ROOT / "deploy" / "gcp-role.yaml").read_text())
    assert role["includedPermissions"] == [*POLICY_PERMISSIONS, *POOL_PERMISSIONS]


def test_only_slices_that_a_policy_places_ask_for_permissions_in_compute_engine() -> None:
    assert list_questions([RUNG]).permissions == POOL_PERMISSIONS
    placed = replace(RUNG, placement_policy=True)
    assert list_questions([RUNG, placed]).permissions == (*POOL_PERMISSIONS, *POLICY_PERMISSIONS)


@pytest.mark.parametrize(
    ("check", "permission", "facts"),
    [
        ("quota", "compute.regions.get", {"quotas": {"us-central1": DENIED}}),
        ("quota", "compute.projects.get", {"project_quotas": DENIED}),
        ("zones", "compute.machineTypes.list", {"machine_zones": DENIED}),
        ("reservation", "compute.reservations.list", {"reservations": {"gpus": DENIED}}),
        ("cluster", "container.clusters.get", {"cluster": DENIED}),
        ("permissions", "resourcemanager.projects.get", {"granted": DENIED}),
    ],
)
def test_what_may_not_be_asked_is_a_warning_that_names_the_permission(
    check: str, permission: str, facts: Mapping[str, Any]
) -> None:
    rung = RESERVED if check == "reservation" else RUNG
    found = find(check, rung, **facts)
    assert told(found) == ("warning", "NotAnswered")
    assert found.message.endswith(f"that needs the permission {permission}")
    assert found.quote == DENIED.text
    assert "add-iam-policy-binding team-project --member PRINCIPAL --role roles/" in found.command


def test_what_is_no_answer_is_told_and_not_quoted() -> None:
    words = "no answer from compute.googleapis.com: Cannot connect to host compute.googleapis.com:443"
    found = find("quota", quotas={"us-central1": classify("UNAVAILABLE", words, verbatim=False).finding})
    assert told(found) == ("warning", "NotAnswered")
    assert (found.message, found.quote) == (f"the quotas of us-central1 can't be read: {words}", "")


@pytest.mark.parametrize(
    ("text", "code", "command"),
    [
        (
            "Compute Engine API has not been used in project 1 before or it is disabled.",
            "PERMISSION_DENIED",
            "gcloud services enable compute.googleapis.com --project team-project",
        ),
        ("The service is currently unavailable.", "UNAVAILABLE", ""),
    ],
)
def test_a_service_that_is_off_is_to_be_switched_on_and_one_that_fails_asked_again(
    text: str, code: str, command: str
) -> None:
    found = find("quota", quotas={"us-central1": classify(code, text).finding})
    assert (found.verdict, found.command) == (Verdict.WARNING, command)


def test_what_is_the_same_for_several_rungs_is_said_once() -> None:
    other = replace(RUNG, name="g2-standard-48-spot", consumption=Consumption.SPOT)
    denied = findings(RUNG, other, quotas={"us-central1": DENIED})
    assert [item.rungs for item in denied if item.reason == "NotAnswered"] == [(RUNG.name, other.name)]


@given(limit=st.integers(0, 64), usage=st.integers(0, 64), devices=st.integers(1, 8), replicas=st.integers(1, 8))
def test_a_rung_is_ok_exactly_where_all_replicas_have_quota_left(
    limit: int, usage: int, devices: int, replicas: int
) -> None:
    rung = replace(RUNG, devices=devices, replicas=replicas)
    found = find("quota", rung, quotas={"us-central1": {L4: Quota(limit, usage)}}, project_quotas={})
    left = max(0, limit - usage)
    expected = Verdict.OK if left >= devices * replicas else Verdict.WARNING if left >= devices else Verdict.BLOCKED
    assert found.verdict is expected


def test_the_rungs_of_a_plan_are_asked_about_as_they_would_be_bought() -> None:
    document = yaml.safe_load((ROOT / "examples" / "mistral-7b.yaml").read_text())
    document["spec"]["capacity"] = {
        "options": [{"accelerator": "l4", "consumption": "Spot"}, {"accelerator": "l4", "zones": [A]}]
    }
    model, catalogue = MistralModel.model_validate(document), load_catalogue()
    plan = plan_model(model, catalogue, DEFAULT, offline_settings())
    assert isinstance(plan, Plan)
    first, *rest = describe_rungs(model, plan, catalogue)
    assert (first.quota, first.gpu, first.zones) == ("PREEMPTIBLE_NVIDIA_L4_GPUS", "nvidia-l4", DEFAULT.zones)
    assert {(rung.quota, rung.zones) for rung in rest if rung.consumption is Consumption.ON_DEMAND} == {(L4, (A,))}
    assert first.replicas == 3  # As many as its autoscaler may want.


def test_flex_start_has_a_first_version_of_its_own() -> None:
    document = yaml.safe_load((ROOT / "examples" / "mistral-7b.yaml").read_text())
    document["spec"]["capacity"] = {"options": [{"accelerator": "l4", "consumption": "FlexStart"}]}
    model, catalogue = MistralModel.model_validate(document), load_catalogue()
    plan = plan_model(model, catalogue, DEFAULT, offline_settings())
    assert isinstance(plan, Plan)
    rung = describe_rungs(model, plan, catalogue)[0]
    assert (rung.quota, rung.min_gke_version) == ("PREEMPTIBLE_NVIDIA_L4_GPUS", "1.32.2-gke.1652000")
    old = replace(CLUSTER, version="1.31.1-gke.100")
    assert told(find("version", replace(rung, zones=(A, B)), cluster=old, quotas={"us-central1": {}})) == (
        "blocked",
        "ClusterTooOld",
    )
