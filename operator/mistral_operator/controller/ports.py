"""The registry of provisioners: for each that is switched on, what implements the port to its node pools."""

from collections.abc import Iterable

from mistral_operator.capacity.container_api import ContainerApi
from mistral_operator.capacity.port import NodePools
from mistral_operator.planning.types import Provisioner


def open_ports(provisioners: Iterable[Provisioner], container_api: ContainerApi) -> dict[Provisioner, NodePools]:
    """The ports by provisioner. Whoever opened `container_api` closes it."""
    built: dict[Provisioner, NodePools] = {Provisioner.CONTAINER_API: container_api}
    return {provisioner: built[provisioner] for provisioner in provisioners if provisioner in built}
