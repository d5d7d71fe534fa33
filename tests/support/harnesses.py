"""The provisioners of the conformance suite, each with what its adapter is in front of."""

from tests.support.class_harness import compute_class
from tests.support.config_connector_harness import config_connector
from tests.support.existing_harness import existing
from tests.support.gke_harness import container_api

from mistral_operator.planning.types import Provisioner

HARNESSES = {
    Provisioner.CONTAINER_API: container_api,
    Provisioner.COMPUTE_CLASS: compute_class,
    Provisioner.CONFIG_CONNECTOR: config_connector,
    Provisioner.EXISTING: existing,
}
