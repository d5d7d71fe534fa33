"""Whoever does what a refusal advises is not refused by the next one of its kind."""

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.support.world import CLUSTER, make_model

from mistral_operator.api.capacity import Sharing
from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.accelerator import MachineShape
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.planning.layout import Misfit
from mistral_operator.planning.provisioner import resolve_provisioner
from mistral_operator.planning.provisioner_advice import FIELD, Circumstances
from mistral_operator.planning.provisioner_hardware import check_hardware_of
from mistral_operator.planning.terms import Terms
from mistral_operator.planning.types import ClusterProfile, Consumption, PlanRefused, Provisioner

SOURCE = "MistralServingClass standard"
SHAPES = [shape for item in load_catalogue().accelerators.values() for shape in item.machines]
NAMES = [item.value for item in Provisioner]

clusters = st.builds(
    lambda provider, autopilot, enabled, version: replace(
        CLUSTER, provider=provider, autopilot=autopilot, provisioners=tuple(enabled), version=version
    ),
    st.sampled_from(["GKE", "None"]),
    st.booleans(),
    st.lists(st.sampled_from(Provisioner), min_size=1, unique=True),
    st.sampled_from(["", "1.32.1-gke.1000000", "1.34.1-gke.1000000"]),
)
classes = st.builds(
    lambda names: Terms(source=SOURCE, provisioners=tuple(names)), st.lists(st.sampled_from(NAMES), unique=True)
)
WAYS = ({"strategy": "TimeSharing", "clients": 2}, {"strategy": "MIG", "partition": "1g.10gb"})
sharings = st.sampled_from([None, *map(Sharing.model_validate, WAYS)])


def advised(message: str, after: str = "") -> list[Provisioner]:
    """The provisioners that a refusal says to write: at once, or after something else was done."""
    found = re.findall(rf"(then )?write {FIELD}: (\w+(?: or \w+)*)", message)
    return [Provisioner(name) for first, names in found if first == after for name in names.split(" or ")]


def follow(message: str, cluster: ClusterProfile, terms: Terms) -> tuple[ClusterProfile, Terms]:
    """What others do when they are asked as the refusal says."""
    started = tuple(map(Provisioner, re.findall(r"--provisioner (\w+)", message)))
    allowed = tuple(re.findall(r"to allow (\w+) in limits.provisioners", message))
    widened = (*terms.provisioners, *allowed) if terms.provisioners else ()
    return replace(cluster, provisioners=(*cluster.provisioners, *started)), replace(terms, provisioners=widened)


def resolve(named: str, cluster: ClusterProfile, terms: Terms, *, labelled: bool) -> Provisioner | PlanRefused:
    labels = {"resourceLabels": {"team": "a"}} if labelled else {}
    body = make_model(capacity={"provisioner": named}, **labels)
    return resolve_provisioner(MistralModel.model_validate(body).spec, cluster, terms)


@given(st.sampled_from(["Auto", *NAMES]), clusters, classes, st.booleans())
def test_what_a_refusal_of_the_provisioner_says_to_write_is_taken(
    named: str, cluster: ClusterProfile, terms: Terms, labelled: bool
) -> None:
    found = resolve(named, cluster, terms, labelled=labelled)
    if isinstance(found, Provisioner):
        return
    after, wider = follow(found.message, cluster, terms)
    now, later = advised(found.message), advised(found.message, "then ")
    assert now or (after, wider) != (cluster, terms), f"nothing to do about it: {found.message}"
    assert [resolve(way.value, cluster, terms, labelled=labelled) for way in now] == now, found.message
    assert [resolve(way.value, after, wider, labelled=labelled) for way in later] == later, found.message
    if (after, wider) != (cluster, terms) and not later:
        assert isinstance(resolve(named, after, wider, labelled=labelled), Provisioner), found.message


@given(
    st.sampled_from(Provisioner),
    clusters,
    classes,
    st.booleans(),
    st.sampled_from(SHAPES),
    st.sampled_from(Consumption),
    sharings,
)
def test_what_a_refusal_of_hardware_says_to_write_can_make_it(
    provisioner: Provisioner,
    cluster: ClusterProfile,
    terms: Terms,
    labelled: bool,
    shape: MachineShape,
    consumption: Consumption,
    sharing: Sharing | None,
) -> None:
    def check(provisioner: Provisioner) -> Misfit | None:
        case = Circumstances(cluster, terms, labelled=labelled)
        return check_hardware_of(provisioner, shape, consumption, case, sharing)

    misfit = check(provisioner)
    if misfit is None:
        return
    after, wider = follow(misfit.message, cluster, terms)
    now, later = advised(misfit.message), advised(misfit.message, "then ")
    assert [resolve(way.value, cluster, terms, labelled=labelled) for way in now] == now, misfit.message
    assert [resolve(way.value, after, wider, labelled=labelled) for way in later] == later, misfit.message
    assert all(check(way) is None for way in (*now, *later)), misfit.message
