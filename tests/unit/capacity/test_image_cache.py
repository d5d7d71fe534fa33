"""A claim with an image cache: what GKE is asked for, how the pool is known again, and what no pool can be."""

from dataclasses import replace
from typing import Any

import pytest
from google.cloud import container_v1
from tests.support.claim_cases import CHAT, NOW, SETTINGS, a_claim

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.capacity.claims.sync import sync_claim
from mistral_operator.capacity.claims.types import Seen
from mistral_operator.capacity.pools import NodeFacts, differences, find_flaw, is_surely_own, pool_spec, shape_hash
from mistral_operator.capacity.provisioners.container_api import node_pool, pool_view

DISK = "projects/images-of-ours/global/images/vllm-gpu-1"
OTHER = "projects/images-of-ours/global/images/vllm-gpu-2"
Mode = container_v1.SecondaryBootDisk.Mode


def cached(disk: str | None = DISK, **terms: Any) -> NodePoolClaim:
    return a_claim(terms={**({"imageCache": disk} if disk else {}), **terms})


def asked(claim: NodePoolClaim) -> Any:
    return node_pool(pool_spec(claim, total_max=1, facts=NodeFacts(), cluster_uid="uid"))


def test_gke_is_asked_for_a_second_disk_of_the_image_and_for_image_streaming_which_it_needs() -> None:
    config = asked(cached()).config
    (disk,) = config.secondary_boot_disks
    assert (disk.disk_image, disk.mode) == (DISK, Mode.CONTAINER_IMAGE_CACHE)
    assert config.gcfs_config.enabled
    assert not asked(cached(None)).config.secondary_boot_disks


@pytest.mark.parametrize("host", ["", "https://www.googleapis.com/compute/v1/"])
def test_the_pool_is_known_again_however_the_image_is_written(host: str) -> None:
    claim, made = cached(), asked(cached())
    made.config.secondary_boot_disks[0].disk_image = f"{host}{DISK}"
    pool = pool_view(made)
    assert pool.image_cache == DISK
    assert differences(pool, claim) == ()
    assert is_surely_own(pool, claim.metadata.name, "uid")


@pytest.mark.parametrize(
    ("is_", "wanted", "told"),
    [
        (OTHER, DISK, f"image cache is {OTHER}, not {DISK}"),
        ("", DISK, f"image cache is absent, not {DISK}"),
        (DISK, None, f"image cache is {DISK}, not absent"),
    ],
)
def test_a_pool_with_another_disk_is_not_what_the_claim_asks_for(is_: str, wanted: str | None, told: str) -> None:
    claim = cached(wanted)
    pool = replace(pool_view(asked(claim)), image_cache=is_)
    assert differences(pool, claim) == (told,)
    assert not is_surely_own(pool, claim.metadata.name, "uid")


def test_each_disk_is_another_shape_and_none_is_what_it_was() -> None:
    hashes = [shape_hash(cached(disk)) for disk in (None, DISK, OTHER)]
    assert len(set(hashes)) == 3
    assert hashes[0] == "ab51b57641"


@pytest.mark.parametrize("provisioner", ["ComputeClass", "ConfigConnector", "Existing"])
def test_a_claim_by_hand_that_others_would_make_without_it_is_refused(provisioner: str) -> None:
    claim = cached(provisioner=provisioner)
    assert find_flaw(claim) == f"spec.imageCache is for node pools of ContainerAPI, not of {provisioner}; leave it out."
    assert find_flaw(cached(provisioner="ContainerAPI")) == find_flaw(cached()) == ""


def test_such_a_claim_gets_no_pool() -> None:
    outcome = sync_claim(cached(provisioner="ConfigConnector"), Seen(users=(CHAT,)), SETTINGS, NOW)
    assert outcome.status is not None
    (ready,) = [item for item in outcome.status["conditions"] if item["type"] == "Ready"]
    assert (ready["status"], ready["reason"]) == ("False", "InvalidClaim")
    assert outcome.action is None
