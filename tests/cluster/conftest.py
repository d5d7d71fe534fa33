"""Fixtures for tests on the control plane."""

from pathlib import Path

import pytest

from mistral_operator.sandbox.control_plane import ControlPlane
from mistral_operator.sandbox.crds import install_crds
from mistral_operator.sandbox.kube import Kube

CRDS = Path(__file__).parents[2] / "crds"


@pytest.fixture
async def crds(cluster: ControlPlane) -> Path:
    """The project's CRDs, established on the session's control plane."""
    async with Kube(cluster.kubeconfig) as kube:
        await install_crds(kube, CRDS)
    return CRDS
