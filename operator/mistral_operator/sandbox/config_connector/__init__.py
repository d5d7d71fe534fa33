"""A stand-in for Config Connector: ContainerNodePool objects of the sandbox become node pools of the simulated GKE."""

from .controller import DEFINITION, ConfigConnector

__all__ = ["DEFINITION", "ConfigConnector"]
