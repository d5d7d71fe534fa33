"""The image cache of a serving class: which options get it, which go without and why, and what becomes of the claim."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.node_cases import a_group
from tests.support.world import CLUSTER, SETTINGS, make_model

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.manifests.claim import build_claim
from mistral_operator.planning.image_cache import IMAGE_CACHES_SINCE
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.serialize import plan_from_dict, plan_to_dict
from mistral_operator.planning.terms import NO_TERMS, Terms
from mistral_operator.planning.types import ClusterProfile, Plan, PlannedOption, Provisioner

CATALOGUE = load_catalogue()
DISK = "projects/images-of-ours/global/images/vllm-gpu-1"
SOURCE = "MistralServingClass standard"
TERMS = Terms(source=SOURCE, image_caches=(("vllm-gpu", DISK),))
ON_L4 = {"options": [{"machineType": "g2-standard-8"}]}


def plan(terms: Terms = TERMS, cluster: ClusterProfile = CLUSTER, **spec: Any) -> Plan:
    model = MistralModel.model_validate(make_model(**({"capacity": ON_L4} | spec)))
    answer = plan_model(model, CATALOGUE, cluster, SETTINGS, terms=terms)
    assert isinstance(answer, Plan), answer
    return answer


def cache_notes(option: PlannedOption) -> list[str]:
    return [note for note in option.notes if "image cache" in note]


def test_new_nodes_of_the_engine_get_the_disk_and_the_reader_is_told() -> None:
    with_cache, without = plan(), plan(NO_TERMS)
    chosen = with_cache.chosen
    assert chosen.image_cache == DISK
    (note,) = cache_notes(chosen)
    assert note.startswith(f"new nodes get a second disk made of {DISK}, the image cache of {SOURCE}")
    assert without.chosen.image_cache == ""
    assert cache_notes(without.chosen) == []
    assert chosen.startup == without.chosen.startup, "no source says how much faster it is"
    assert replace(chosen, image_cache="", notes=without.chosen.notes) == without.chosen


def test_a_cache_is_for_its_own_engine_alone() -> None:
    asked = {"options": [*ON_L4["options"], {"accelerator": "v5e", "topology": "2x2"}]}
    options = plan(capacity=asked, allowExperimental=True).options
    assert {option.engine: option.image_cache for option in options} == {"vllm-gpu": DISK, "vllm-tpu": ""}
    assert not any(cache_notes(option) for option in options if option.engine == "vllm-tpu")


@pytest.mark.parametrize(
    ("version", "given"),
    [
        ("", True),  # Not known; GKE says it itself where it is too old.
        (IMAGE_CACHES_SINCE, True),
        ("1.34.0-gke.2201000", True),
        ("1.28.3-gke.1066999", False),
        ("1.27.9-gke.2000000", False),
    ],
)
def test_a_cluster_that_is_too_old_goes_without(version: str, given: bool) -> None:
    chosen = plan(cluster=replace(CLUSTER, version=version)).chosen
    assert bool(chosen.image_cache) is given
    told = f"the image cache {DISK} of {SOURCE} is left out: it needs GKE 1.28.3-gke.1067000, and the cluster has"
    assert given or cache_notes(chosen) == [f"{told} {version}"]


@pytest.mark.parametrize("provisioner", [each for each in Provisioner if each is not Provisioner.CONTAINER_API])
def test_nodes_that_others_make_go_without_and_the_plan_goes_on(provisioner: Provisioner) -> None:
    cluster = replace(CLUSTER, provisioners=tuple(Provisioner), nodes=(a_group(),))
    existing = provisioner is Provisioner.EXISTING
    capacity = {"provisioner": provisioner.value, **({} if existing else ON_L4)}
    chosen = plan(cluster=cluster, capacity=capacity).chosen
    assert (chosen.provisioner, chosen.engine, chosen.image_cache) == (provisioner, "vllm-gpu", "")
    (note,) = cache_notes(chosen)
    assert note.endswith(f"is left out: only nodes that ContainerAPI makes get one, not those of {provisioner.value}")


def test_a_model_with_an_image_of_its_own_has_no_use_for_it() -> None:
    own = plan(engine={"image": "mine.example/vllm:1"}).chosen
    assert own.image_cache == ""
    (note,) = cache_notes(own)
    assert note.endswith("and spec.engine.image is another")
    usual = plan(NO_TERMS).chosen.image
    assert f"it is for {usual}" in note
    assert plan(engine={"image": usual}).chosen.image_cache == DISK, "the same image, written out"


def test_the_image_that_it_is_for_is_the_classs_where_that_names_one() -> None:
    mirrored = replace(TERMS, images=(("vllm-gpu", "mirror.example/vllm:1"),))
    assert plan(mirrored).chosen.image_cache == DISK
    assert plan(mirrored, engine={"image": plan(NO_TERMS).chosen.image}).chosen.image_cache == ""


def test_the_claim_names_it_and_others_are_what_they_were() -> None:
    model = MistralModel.model_validate(make_model(capacity=ON_L4))
    with_cache, without = (build_claim(model, plan(terms).chosen) for terms in (TERMS, NO_TERMS))
    assert with_cache["spec"] == without["spec"] | {"imageCache": DISK}
    assert with_cache["metadata"]["name"] != without["metadata"]["name"], "nodes without it are another pool"
    assert without["metadata"]["name"] == "g2-standard-8-od-88acfce9fb", "the name of a pool that is there"
    assert NodePoolClaim.model_validate(with_cache).spec.image_cache == DISK


def test_it_is_pinned_and_a_plan_that_was_pinned_before_has_none() -> None:
    pinned = plan_to_dict(plan())
    assert plan_from_dict(pinned).chosen.image_cache == DISK
    for option in pinned["options"]:
        del option["image_cache"]
    assert plan_from_dict(pinned).chosen.image_cache == ""
