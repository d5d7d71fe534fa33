"""What a container asks for stays below what GKE leaves of a node."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.catalogue.units import GIB
from mistral_operator.planning.host import HostRequest, allocatable_cpu, allocatable_memory_gib, plan_host
from mistral_operator.planning.layout import Misfit

ENGINE = load_catalogue().engines["vllm-gpu"]


@pytest.mark.parametrize(("machine_gib", "free_gib"), [(16, 11), (32, 26), (85, 74), (340, 315)])
def test_memory_after_reservations(machine_gib: int, free_gib: int) -> None:
    assert allocatable_memory_gib(machine_gib) == free_gib


@given(st.integers(4, 4096), st.integers(2, 512))
def test_something_is_always_left_for_the_node(memory_gib: int, cpu: int) -> None:
    assert 0 <= allocatable_memory_gib(memory_gib) < memory_gib - 1
    assert 1 <= allocatable_cpu(cpu) < cpu


def test_a_small_host_is_refused_with_its_figures() -> None:
    found = load_catalogue().machine("g2-standard-4")
    assert found is not None
    result = plan_host(ENGINE, found[1], 14 * GIB)
    assert isinstance(result, Misfit)
    assert result.reason == "HostMemoryTooSmall"
    assert "leaves 11 of 16 GiB" in result.message


def test_several_devices_get_more_shared_memory() -> None:
    requests = []
    for machine_type in ("a2-ultragpu-1g", "a2-ultragpu-2g"):
        found = load_catalogue().machine(machine_type)
        assert found is not None
        request = plan_host(ENGINE, found[1], 40 * GIB)
        assert isinstance(request, HostRequest)
        requests.append(request)
    assert requests[0].shared_memory_bytes < requests[1].shared_memory_bytes
