"""What a ContainerNodePool is written as, and what is read of one: by Google's schema, where it is there."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from tests.support.claim_cases import SETTINGS, a_claim, a_pool
from tests.support.config_connector import PLACE, read_schema

from mistral_operator.capacity.advice import advise, cite
from mistral_operator.capacity.errors import CloudFinding
from mistral_operator.capacity.objects.node_pool import find_unwritable, node_pool_object, pool_view
from mistral_operator.capacity.objects.node_pool_condition import SILENCE_S, read_status
from mistral_operator.capacity.orphans import OrphanReason, judge_orphan
from mistral_operator.capacity.pools import NodeFacts, is_surely_own, pool_spec
from mistral_operator.capacity.port import Accelerator, Bounds, PoolSpec, PoolStatus

GOLDEN = Path(__file__).parents[2] / "golden" / "config-connector" / "node-pools.yaml"
UID = "11111111-2222-3333-4444-555555555555"
SPEC = pool_spec(a_claim(), total_max=2, facts=NodeFacts(local_ssds=1), cluster_uid=UID)
RESERVED = replace(SPEC, reservation="projects/other/reservations/gpus")
SHARED = replace(SPEC, gpu=Accelerator("nvidia-l4", 1, clients=4), max_pods=64)
DIVIDED = replace(SPEC, gpu=Accelerator("nvidia-h100-80gb", 8, partition="1g.10gb"))


def a_tpu(machine_type: str, chips: int, topology: str, **more: Any) -> PoolSpec:
    """The pool of a claim on TPUs, as the operator asks for it."""
    hosts = {"hosts": more.pop("hosts")} if "hosts" in more else {}
    accelerator = {"type": "tpu-v6e-slice", "count": chips}
    shape = {"machineType": machine_type, "accelerator": accelerator, "topology": topology, **hosts}
    claim = a_claim(terms={"shape": shape, "provisioner": "ConfigConnector", **more})
    return pool_spec(claim, total_max=2, facts=NodeFacts(), cluster_uid=UID, zone="us-central1-a")


TPU = a_tpu("ct6e-standard-8t", 8, "2x4")
SLICE = a_tpu("ct6e-standard-4t", 4, "4x4", hosts=4, slice={"group": "chat-0123456789", "number": 0})
WRAPPED = "Update call failed: error applying desired state: summary: "


def an_object(spec: PoolSpec = SPEC, **status: Any) -> dict[str, Any]:
    """What comes back from the API server."""
    body = node_pool_object(spec, PLACE)
    return {**body, "metadata": {**body["metadata"], "generation": 1, "uid": "uid-1"}, "status": status}


def told(reason: str, message: str = "", *, made: bool = False) -> dict[str, Any]:
    """A status with a Ready condition."""
    condition = {"type": "Ready", "reason": reason, "message": message}
    urls = {"instanceGroupUrls": ["https://compute/igm"]} if made else {}
    return {"conditions": [{**condition, "status": "True" if reason == "UpToDate" else "False"}], **urls}


def close(schema: Any) -> Any:
    """The schema with what the API server does to fields that it doesn't know, when it validates strictly."""
    if isinstance(schema, list):
        return [close(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: close(value) for key, value in schema.items()}
    if "properties" in closed and "additionalProperties" not in closed and "type" in closed:
        closed["additionalProperties"] = False
    return closed


def find_errors(spec: Any) -> list[str]:
    """What the API server would refuse of a ContainerNodePool's spec."""
    schema = close(read_schema("containernodepools")["properties"]["spec"])
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(spec)]


@pytest.mark.parametrize("spec", [SPEC, RESERVED, TPU, SLICE, SHARED, DIVIDED, replace(SPEC, spot=True)])
def test_every_field_is_one_of_google_s_schema(spec: PoolSpec) -> None:
    assert find_errors(node_pool_object(spec, PLACE)["spec"]) == []


def test_the_reviewed_object_is_valid() -> None:
    assert [find_errors(body["spec"]) for body in yaml.safe_load_all(GOLDEN.read_text())] == [[]]


def test_what_is_refused_is_really_absent_from_the_schema() -> None:
    """When Google adds it, this fails, and it can be written instead of refused."""
    config = read_schema("containernodepools")["properties"]["spec"]["properties"]["nodeConfig"]["properties"]
    assert not {"flexStart", "maxRunDuration", "secondaryBootDisks", "gpuDirectConfig"} & set(config)
    policy = read_schema("computeresourcepolicies")["properties"]["spec"]["properties"]
    assert "workloadPolicy" not in policy
    assert "gpuTopology" not in policy["groupPlacementPolicy"]["properties"]


@pytest.mark.parametrize(
    "spec", [SPEC, RESERVED, TPU, SLICE, SHARED, DIVIDED, replace(SPEC, spot=True), replace(SPEC, bounds=Bounds(0, 9))]
)
def test_what_is_written_is_read_back(spec: PoolSpec) -> None:
    assert find_unwritable(spec) == ""
    view = pool_view(an_object(spec, **told("UpToDate", made=True)), age_s=5)
    assert view.status is PoolStatus.RUNNING
    assert (view.name, view.machine_type, view.spot, view.locations) == (
        spec.name, spec.machine_type, spec.spot, tuple(sorted(spec.locations))
    )  # fmt: skip
    assert view.accelerators == ((spec.gpu,) if spec.gpu else ())
    assert (view.bounds, view.slice_topology, view.reservation) == (spec.bounds, spec.slice_topology, spec.reservation)
    assert (view.node_labels, view.resource_labels) == (spec.node_labels, spec.resource_labels)


def test_the_driver_and_the_disks_are_in_the_object() -> None:
    config = node_pool_object(SPEC, PLACE)["spec"]["nodeConfig"]
    (gpu,) = config["guestAccelerator"]
    assert gpu == {"type": "nvidia-l4", "count": 1, "gpuDriverInstallationConfig": {"gpuDriverVersion": "DEFAULT"}}
    assert config["ephemeralStorageLocalSsdConfig"] == {"localSsdCount": 1}


def test_tpus_come_with_the_machine_type_and_only_a_slice_has_a_topology() -> None:
    one, many = (node_pool_object(spec, PLACE)["spec"] for spec in (TPU, SLICE))
    assert "guestAccelerator" not in {**one["nodeConfig"], **many["nodeConfig"]}
    assert (one["nodeConfig"]["machineType"], many["nodeConfig"]["machineType"]) == (
        TPU.machine_type,
        SLICE.machine_type,
    )
    assert "placementPolicy" not in one
    assert (many["placementPolicy"]["tpuTopology"], many["initialNodeCount"]) == ("4x4", 4)


def test_a_field_that_nobody_thought_of_is_refused_rather_than_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_unwritable(replace(SPEC, max_run_s=60)).startswith("flexStart")
    monkeypatch.setattr("mistral_operator.capacity.objects.node_pool._WRITTEN", frozenset({"slice_hosts"}))
    assert find_unwritable(replace(SPEC, boot_disk="hyperdisk-balanced")) == "boot_disk"


@pytest.mark.parametrize(
    ("status", "age_s", "expected", "reasons"),
    [
        ({}, 1, PoolStatus.PROVISIONING, []),
        ({}, SILENCE_S + 1, PoolStatus.PROVISIONING, ["ConfigConnectorSilent"]),
        (told("Creating"), 1, PoolStatus.PROVISIONING, []),
        (told("Updating"), 1, PoolStatus.PROVISIONING, []),
        (told("Updating", made=True), 1, PoolStatus.RECONCILING, []),
        (told("UpToDate", made=True), 1, PoolStatus.RUNNING, []),
        ({**told("UpToDate", made=True), "observedGeneration": 0}, 1, PoolStatus.RECONCILING, []),
        (told("DependencyNotFound", "reference x is not found"), 1, PoolStatus.PROVISIONING, ["DependencyNotFound"]),
        (told("Unmanaged", "No controller"), 1, PoolStatus.PROVISIONING, ["Unmanaged"]),
        (told("ManagementConflict", "x", made=True), 1, PoolStatus.RUNNING_WITH_ERROR, ["ManagementConflict"]),
        (told("SomethingNew", "x"), 1, PoolStatus.UNKNOWN, ["SomethingNew"]),
        (
            told("UpdateFailed", f"{WRAPPED}Error waiting for creating GKE NodePool: [GCE_STOCKOUT]: x, detail: "),
            1, PoolStatus.ERROR, ["StockedOut"],
        ),
        (
            told("CreateFailed", f"{WRAPPED}googleapi: Error 403: Insufficient regional quota, forbidden"),
            1, PoolStatus.ERROR, ["QuotaExceeded"],
        ),
        (
            told("UpdateFailed", f"{WRAPPED}googleapi: Error 400: Cluster is running incompatible operation o, x"),
            1, PoolStatus.PROVISIONING, ["ClusterBusy"],
        ),
        (
            told("UpdateFailed", "Update call failed: cannot make changes to immutable field(s): [x]", made=True),
            1, PoolStatus.RUNNING_WITH_ERROR, ["InvalidRequest"],
        ),
        (
            told("UpdateFailed", f"{WRAPPED}googleapi: Error 503: try again, backendError"),
            1, PoolStatus.PROVISIONING, ["CloudUnavailable"],
        ),
    ],
)  # fmt: skip
def test_each_condition_means_something(
    status: dict[str, Any], age_s: float, expected: PoolStatus, reasons: list[str]
) -> None:
    found, findings = read_status(an_object(**status), age_s=age_s)
    assert (found, [finding.reason for finding in findings]) == (expected, reasons)


def test_what_is_being_deleted_stops_until_google_refuses_it() -> None:
    body = an_object(**told("UpToDate", made=True))
    body["metadata"]["deletionTimestamp"] = "2026-11-23T12:00:00Z"
    assert read_status(body, age_s=1) == (PoolStatus.STOPPING, ())
    refusal = "Delete call failed: error deleting resource: summary: googleapi: Error 403: Required x, forbidden"
    body["status"] = told("DeleteFailed", refusal, made=True)
    status, (finding,) = read_status(body, age_s=1)
    assert (status, finding.reason) == (PoolStatus.ERROR, "PermissionDenied")


def test_google_s_words_are_quoted_as_config_connector_s_and_the_advice_is_for_its_account() -> None:
    text = f'{WRAPPED}googleapi: Error 403: Required "container.clusters.update" permission(s), forbidden'
    _, (finding,) = read_status(an_object(**told("UpdateFailed", text)), age_s=1)
    assert cite(finding).startswith('Config Connector says: "Error 403: Required')
    assert "roles/mistralConfigConnector" in advise(finding, SETTINGS.place)
    unmanaged = CloudFinding("Unmanaged", "No controller is managing this resource.", retryable=True)
    assert "configconnectorcontext" in advise(unmanaged, SETTINGS.place)


def test_the_pool_in_gke_is_marked_so_that_nobody_deletes_it_behind_config_connector() -> None:
    """It would only be made again."""
    labels = node_pool_object(SPEC, PLACE)["spec"]["nodeConfig"]["resourceLabels"]
    gpu = (Accelerator("nvidia-l4", 1),)
    own = replace(pool_view(an_object(), age_s=1), accelerators=gpu)
    assert is_surely_own(own, a_claim().metadata.name, UID)
    in_gke = replace(own, resource_labels=labels, status=PoolStatus.RUNNING)
    orphan = judge_orphan(in_gke, nodes=0, cluster_uid=UID, node_price=None)
    assert orphan.reason is OrphanReason.NOT_PROVEN
    assert "config-connector keeps it" in orphan.message
    assert a_pool().name == own.name
