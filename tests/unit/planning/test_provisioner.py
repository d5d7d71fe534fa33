"""What makes the node pools: chosen from what the cluster is, refused where it can't."""

from dataclasses import replace

import pytest
from tests.support.world import CLUSTER, make_model

from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.accelerator import MachineShape
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.planning.provisioner import note_provisioner, resolve_provisioner
from mistral_operator.planning.provisioner_advice import Circumstances
from mistral_operator.planning.provisioner_hardware import check_hardware_of
from mistral_operator.planning.terms import NO_TERMS, Terms
from mistral_operator.planning.types import ClusterProfile, Consumption, PlanRefused, Provisioner

ALL = replace(CLUSTER, provisioners=tuple(Provisioner))
AUTOPILOT = replace(ALL, autopilot=True)
ELSEWHERE = replace(ALL, provider="None")
CASE = Circumstances(ALL, NO_TERMS)
SPEC = MistralModel.model_validate(make_model()).spec
FIELD = "spec.capacity.provisioner"


def resolve(named: str | None, cluster: ClusterProfile = ALL, terms: Terms = NO_TERMS) -> Provisioner | PlanRefused:
    body = make_model(**({"capacity": {"provisioner": named}} if named else {}))
    return resolve_provisioner(MistralModel.model_validate(body).spec, cluster, terms)


@pytest.mark.parametrize("named", [None, "Auto"])
def test_auto_comes_to_what_the_cluster_calls_for(named: str | None) -> None:
    assert resolve(named) is Provisioner.CONTAINER_API
    assert resolve(named, AUTOPILOT) is Provisioner.COMPUTE_CLASS
    assert resolve(named, ELSEWHERE) is Provisioner.EXISTING


@pytest.mark.parametrize("asked", Provisioner)
def test_what_is_asked_for_is_taken(asked: Provisioner) -> None:
    assert resolve(asked.value) is asked


@pytest.mark.parametrize(
    ("named", "cluster", "reason", "advice"),
    [
        ("ContainerAPI", AUTOPILOT, "AutopilotOwnsNodePools", f"write {FIELD}: ComputeClass"),
        ("ConfigConnector", AUTOPILOT, "AutopilotOwnsNodePools", f"write {FIELD}: ComputeClass"),
        ("ContainerAPI", ELSEWHERE, "NotOnGke", f"write {FIELD}: Existing"),
        (
            "ComputeClass",
            replace(CLUSTER, provider="None"),
            "NotOnGke",
            f"--provisioner Existing (the chart's value `provisioners`), then write {FIELD}: Existing",
        ),
        (
            "ComputeClass",
            CLUSTER,
            "ProvisionerNotEnabled",
            f"write {FIELD}: ContainerAPI, or have the operator started with --provisioner ComputeClass",
        ),
        ("Existing", CLUSTER, "ProvisionerNotEnabled", "--provisioner Existing"),
    ],
)
def test_what_the_cluster_has_not_is_refused(named: str, cluster: ClusterProfile, reason: str, advice: str) -> None:
    refused = resolve(named, cluster)
    assert isinstance(refused, PlanRefused)
    assert refused.reason == reason
    assert advice in refused.message


def allow(*provisioners: str) -> Terms:
    return Terms(source="MistralServingClass standard", provisioners=provisioners)


def test_a_class_allows_some() -> None:
    terms = allow("ContainerAPI", "Existing")
    assert resolve(None, terms=terms) is Provisioner.CONTAINER_API
    assert resolve("ComputeClass", terms=terms) == PlanRefused(
        "ProvisionerNotAllowed",
        f"{FIELD}: ComputeClass is not allowed: MistralServingClass standard allows ContainerAPI, Existing; write"
        f" {FIELD}: ContainerAPI or Existing, or ask those who keep MistralServingClass standard to allow ComputeClass"
        " in limits.provisioners",
    )


@pytest.mark.parametrize(
    ("allowed", "cluster", "came_to"),
    [
        (["ComputeClass"], ALL, Provisioner.COMPUTE_CLASS),
        (["ConfigConnector"], ALL, Provisioner.CONFIG_CONNECTOR),
        (["Existing", "ComputeClass"], ALL, Provisioner.COMPUTE_CLASS),
        (["ConfigConnector", "Existing"], AUTOPILOT, Provisioner.EXISTING),
        (["ComputeClass", "Existing"], replace(CLUSTER, provisioners=(Provisioner.EXISTING,)), Provisioner.EXISTING),
    ],
)
def test_auto_comes_to_what_the_class_allows(allowed: list[str], cluster: ClusterProfile, came_to: Provisioner) -> None:
    terms = allow(*allowed)
    assert resolve(None, cluster, terms) is came_to
    assert list(note_provisioner(SPEC, cluster, terms, came_to)) == [
        f"MistralServingClass standard allows {', '.join(allowed)}, so Auto comes to {came_to.value}"
    ]


def test_auto_is_refused_for_what_is_wrong_with_the_only_one_that_is_allowed() -> None:
    refused = resolve(None, AUTOPILOT, allow("ContainerAPI"))
    assert isinstance(refused, PlanRefused)
    assert refused.reason == "AutopilotOwnsNodePools"
    assert "ask those who keep MistralServingClass standard to allow ComputeClass" in refused.message


def test_hardware_that_a_provisioner_can_not_make_is_refused() -> None:
    shapes = [shape for item in load_catalogue().accelerators.values() for shape in item.machines]
    one, several = _first(shapes, hosts=1), next(shape for shape in shapes if shape.hosts > 1)
    for provisioner in Provisioner:
        assert check_hardware_of(provisioner, one, Consumption.ON_DEMAND, CASE) is None
    assert _reason(Provisioner.COMPUTE_CLASS, several, Consumption.SPOT) == "SlicesNeedNodePools"
    assert _reason(Provisioner.CONFIG_CONNECTOR, one, Consumption.FLEX_START) == "FlexStartNeedsContainerApi"


def _first(shapes: list[MachineShape], *, hosts: int) -> MachineShape:
    return next(shape for shape in shapes if shape.hosts == hosts)


def _reason(provisioner: Provisioner, shape: MachineShape, consumption: Consumption) -> str:
    misfit = check_hardware_of(provisioner, shape, consumption, CASE)
    return misfit.reason if misfit else ""


@pytest.mark.parametrize(
    ("cluster", "words"),
    [
        (ALL, ""),
        (AUTOPILOT, "on an Autopilot cluster only Google makes node pools: ComputeClass says which"),
        (ELSEWHERE, "the cluster isn't GKE's, so no node pools are made: Existing uses the nodes that are there"),
    ],
)
def test_what_auto_has_come_to_is_said_where_it_is_not_the_usual(cluster: ClusterProfile, words: str) -> None:
    came_to = resolve(None, cluster)
    assert isinstance(came_to, Provisioner)
    assert list(note_provisioner(SPEC, cluster, NO_TERMS, came_to)) == ([words] if words else [])
    named = MistralModel.model_validate(make_model(capacity={"provisioner": came_to.value})).spec
    assert list(note_provisioner(named, cluster, NO_TERMS, came_to)) == [], "whoever names it knows"
