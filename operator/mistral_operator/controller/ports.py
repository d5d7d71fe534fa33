"""The registry of provisioners: for each that is switched on, what implements the port to its node pools."""

from mistral_operator.capacity.advice import ClusterPlace
from mistral_operator.capacity.objects.node_pool import ObjectPlace
from mistral_operator.capacity.port import NodePools
from mistral_operator.capacity.provisioners.compute_class import ComputeClasses
from mistral_operator.capacity.provisioners.compute_policies import ComputePolicies
from mistral_operator.capacity.provisioners.config_connector import ConfigConnector
from mistral_operator.capacity.provisioners.container_api import ContainerApi
from mistral_operator.cluster.client import ApiClient
from mistral_operator.controller.options import RunOptions
from mistral_operator.planning.types import Provisioner


def open_policies(options: RunOptions, place: ClusterPlace) -> dict[Provisioner, ComputePolicies]:
    """What makes workload policies, by the provisioner whose pools they place. Whoever calls this closes them."""
    lone = bool(options.container_api) and not options.compute_api
    if lone or Provisioner.CONTAINER_API not in options.provisioners:
        return {}
    return {Provisioner.CONTAINER_API: ComputePolicies(place.project, place.region, options.compute_api)}


def open_ports(
    options: RunOptions, container_api: ContainerApi, client: ApiClient, place: ClusterPlace, *, autopilot: bool
) -> dict[Provisioner, NodePools]:
    """The ports by provisioner. Whoever opened `container_api` and `client` closes them."""
    namespace = options.config_connector_namespace or options.lease_namespace
    built: dict[Provisioner, NodePools] = {
        Provisioner.CONTAINER_API: container_api,
        Provisioner.COMPUTE_CLASS: ComputeClasses(client, container_api.describe_cluster, autopilot=autopilot),
        Provisioner.CONFIG_CONNECTOR: ConfigConnector(client, ObjectPlace(namespace, place), zones=options.zones),
    }
    return {provisioner: built[provisioner] for provisioner in options.provisioners if provisioner in built}
