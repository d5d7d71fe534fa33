"""Pools whose GPUs are shared: what is asked of GKE, how many nodes, and that what there was keeps its name."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from google.cloud import container_v1
from tests.support.claim_cases import NOW, SETTINGS, a_claim, pool_of

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.capacity.claims.node_facts import find_node_facts
from mistral_operator.capacity.claims.sync import sync_claim
from mistral_operator.capacity.claims.types import ClaimUser, Seen, SetAutoscaling
from mistral_operator.capacity.pools import NodeFacts, differences, is_surely_own, pool_spec, shape_hash
from mistral_operator.capacity.port import Accelerator, Bounds
from mistral_operator.capacity.provisioners.container_api import node_pool, pool_view
from mistral_operator.catalogue.accelerator import Accelerator as Gpu
from mistral_operator.catalogue.accelerator import MachineShape, Partition
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.sandbox.gke.machines import machine_types

CATALOGUE = load_catalogue()
TURNS = {"strategy": "TimeSharing", "clients": 4}
HALF = {"strategy": "MIG", "partition": "3g.20gb"}
L4 = {"machineType": "g2-standard-12", "accelerator": {"type": "nvidia-l4", "count": 1}}
A100S = {"machineType": "a2-highgpu-2g", "accelerator": {"type": "nvidia-tesla-a100", "count": 2}}
Strategy = container_v1.GPUSharingConfig.GPUSharingStrategy


def shared(shape: dict[str, Any], sharing: dict[str, Any] | None) -> NodePoolClaim:
    return a_claim(terms={"shape": {**shape, **({"sharing": sharing} if sharing else {})}})


def facts_of(claim: NodePoolClaim) -> NodeFacts:
    return find_node_facts(CATALOGUE, {}, claim)


@pytest.mark.parametrize(
    ("shape", "sharing", "replicas"), [(L4, None, 1), (L4, TURNS, 4), (A100S, HALF, 4), (A100S, TURNS, 8)]
)
def test_a_node_holds_as_many_replicas_as_its_gpus_have_places(
    shape: dict[str, Any], sharing: dict[str, Any] | None, replicas: int
) -> None:
    assert facts_of(shared(shape, sharing)).replicas == replicas


@pytest.mark.parametrize(("needed", "nodes"), [((1,), 1), ((2, 2), 1), ((2, 3), 2), ((4, 4, 1), 3)])
def test_the_pool_grows_to_the_nodes_that_all_replicas_need_together(needed: tuple[int, ...], nodes: int) -> None:
    claim = shared(L4, TURNS)
    users = tuple(ClaimUser("team", f"model-{index}", count) for index, count in enumerate(needed))
    pool = pool_of(pool_spec(claim, total_max=99, facts=facts_of(claim)))
    outcome = sync_claim(claim, Seen(users=users, pool=pool, facts=facts_of(claim)), SETTINGS, NOW)
    assert outcome.action == SetAutoscaling(pool.name, Bounds(0, nodes))
    assert outcome.status is not None
    assert outcome.status["nodes"]["desiredMax"] == nodes
    assert [user["nodes"] for user in outcome.status["users"]] == [-(-count // 4) for count in needed]


def test_gke_is_asked_to_divide_the_gpus() -> None:
    by_turns, halved = shared(L4, TURNS), shared(A100S, HALF)
    (turns,) = node_pool(pool_spec(by_turns, total_max=1, facts=NodeFacts())).config.accelerators
    (parts,) = node_pool(pool_spec(halved, total_max=1, facts=NodeFacts())).config.accelerators
    assert turns.gpu_sharing_config.gpu_sharing_strategy == Strategy.TIME_SHARING
    assert turns.gpu_sharing_config.max_shared_clients_per_gpu == 4
    assert turns.gpu_partition_size == ""
    assert (parts.gpu_partition_size, parts.accelerator_count) == ("3g.20gb", 2)
    assert "gpu_sharing_config" not in parts


@pytest.mark.parametrize(("shape", "sharing"), [(L4, TURNS), (A100S, HALF)])
def test_a_pool_that_is_shared_otherwise_is_not_the_claims(shape: dict[str, Any], sharing: dict[str, Any]) -> None:
    claim = shared(shape, sharing)
    pool = pool_view(node_pool(pool_spec(claim, total_max=1, facts=facts_of(claim), cluster_uid="uid")))
    assert differences(pool, claim) == ()
    assert is_surely_own(pool, claim.metadata.name, "uid")
    whole = replace(pool, accelerators=tuple(Accelerator(gpu.type, gpu.count) for gpu in pool.accelerators))
    assert not is_surely_own(whole, claim.metadata.name, "uid")
    (told,) = differences(whole, claim)
    assert told.startswith("accelerators is ")


def test_each_way_to_share_is_another_shape_and_none_is_what_it_was() -> None:
    hashes = [shape_hash(shared(L4, sharing)) for sharing in (None, TURNS, {**TURNS, "clients": 2}, HALF)]
    assert len(set(hashes)) == 4
    assert hashes[0] == "ab51b57641"


def test_a_node_with_many_places_may_have_as_many_pods() -> None:
    eighths = {"machineType": "a3-highgpu-8g", "accelerator": {"type": "nvidia-h100-80gb", "count": 8}}
    for sharing, most in ((None, 32), ({"strategy": "MIG", "partition": "1g.10gb"}, 72)):
        claim = shared(eighths, sharing)
        pool = node_pool(pool_spec(claim, total_max=1, facts=facts_of(claim)))
        assert pool.max_pods_constraint.max_pods_per_node == most


def divided() -> Iterator[Any]:
    for gpu in CATALOGUE.accelerators.values():
        for shape in gpu.machines:
            for partition in gpu.partitions if shape.share == 1 else ():
                yield pytest.param(gpu, shape, partition, id=f"{shape.machine_type}-{partition.name}")


@pytest.mark.parametrize(("gpu", "shape", "partition"), list(divided()))
def test_the_simulated_gke_makes_as_many_of_each_partition(gpu: Gpu, shape: MachineShape, partition: Partition) -> None:
    """Two files that were written from the same sources by themselves."""
    assert machine_types()[shape.machine_type].partitions[partition.name] == partition.count, gpu.id
