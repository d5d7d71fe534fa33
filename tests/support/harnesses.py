"""The provisioners of the conformance suite, each with what its adapter is in front of."""

from tests.support.existing_harness import existing
from tests.support.gke_harness import container_api

from mistral_operator.planning.types import Provisioner

HARNESSES = {Provisioner.CONTAINER_API: container_api, Provisioner.EXISTING: existing}
