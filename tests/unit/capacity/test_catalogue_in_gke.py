"""Every machine and slice of the catalogue, bought in every way in which it is sold, is a pool that GKE's rules accept.

The operator and the simulated GKE know machines from different files and share no code.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from google.cloud import container_v1
from tests.support.claim_cases import a_claim

from mistral_operator.api.claim import MAX_SLICE_HOSTS, NodePoolClaim
from mistral_operator.capacity.claims.node_facts import find_node_facts
from mistral_operator.capacity.pools import find_flaw, pool_spec
from mistral_operator.capacity.provisioners.container_api import node_pool
from mistral_operator.catalogue.accelerator import Accelerator, MachineShape
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.planning.modes import check_flex_start
from mistral_operator.planning.types import Consumption
from mistral_operator.sandbox.gke.errors import RpcError
from mistral_operator.sandbox.gke.machines import machine_types
from mistral_operator.sandbox.gke.rules import check_new_pool, default_pool
from mistral_operator.sandbox.gke.scenario import Scenario

CATALOGUE = load_catalogue()
VERSION = "1.36.3-gke.1000000"


def sold() -> Iterator[Any]:
    for accelerator in CATALOGUE.accelerators.values():
        for shape in accelerator.machines:
            for mode in shape.consumption if shape.hosts <= MAX_SLICE_HOSTS else ():
                name = f"{shape.machine_type}-{shape.topology}-{mode}"
                flexible = mode == Consumption.FLEX_START.value
                plannable = not (flexible and check_flex_start(accelerator.kind, shape, VERSION))
                if plannable and not shape.placement_policy and shape.machine_type in machine_types():
                    yield pytest.param(accelerator, shape, mode, id=name)


def claim_of(accelerator: Accelerator, shape: MachineShape, mode: str, zone: str) -> NodePoolClaim:
    sliced = {"slice": {"group": "group", "number": 0}, "model": "chat"} if shape.hosts > 1 else {}
    return a_claim(
        consumption=mode,
        terms={
            "shape": {
                "machineType": shape.machine_type,
                "accelerator": {"type": accelerator.label, "count": shape.devices},
                **({"topology": shape.topology} if shape.topology else {}),
                **({"hosts": shape.hosts} if shape.hosts > 1 else {}),
            },
            "zones": [zone],
            **({"reservation": "team-gpus"} if mode == Consumption.RESERVATION.value else {}),
            **sliced,
        },
    )


def test_most_of_the_catalogue_is_looked_at() -> None:
    assert len(list(sold())) > 150


@pytest.mark.parametrize(("accelerator", "shape", "mode"), list(sold()))
def test_gke_accepts_the_pool(accelerator: Accelerator, shape: MachineShape, mode: str) -> None:
    zone = f"{shape.regions[0]}-a"
    scenario = Scenario(location=shape.regions[0], zones=(zone,), version=VERSION)
    claim = claim_of(accelerator, shape, mode, zone)
    assert find_flaw(claim) == ""
    spec = pool_spec(claim, total_max=2, facts=find_node_facts(CATALOGUE, {}, claim), zone=zone)
    pool = default_pool(container_v1.NodePool.pb(node_pool(spec)), scenario)
    try:
        check_new_pool(scenario, pool)
    except RpcError as refused:
        pytest.fail(f"GKE refuses it: {refused.message}")
