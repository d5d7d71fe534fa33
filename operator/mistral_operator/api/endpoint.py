"""`spec.endpoint` and `spec.monitoring`: how the model is reached and watched."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mistral_operator.api.common import ApiType, DnsLabel, DnsSubdomain, Duration, Rule, SecretKeyRef


class EndpointMode(StrEnum):
    """What stands before the replicas."""

    SERVICE = "Service"
    GATEWAY = "Gateway"
    INFERENCE_GATEWAY = "InferenceGateway"


class GatewayRef(ApiType):
    """A Gateway (gateway.networking.k8s.io) to which the model's route is attached."""

    name: DnsLabel = Field(description="Name of the Gateway.")
    namespace: DnsLabel | None = Field(None, description="Namespace of the Gateway. The model's when left out.")
    hostname: DnsSubdomain | None = Field(None, description="Host name of the route.")


class Endpoint(ApiType):
    """The OpenAI-compatible endpoint."""

    rules = (
        Rule(
            "!has(self.gateway) || (has(self.mode) && self.mode != 'Service')",
            "endpoint.gateway is used with mode: Gateway or InferenceGateway; write one of them, or remove gateway",
            lambda item: item.gateway is None or item.mode not in (None, EndpointMode.SERVICE),
        ),
    )

    mode: EndpointMode | None = Field(
        None, description="What stands before the replicas. `Service` when left out: a Service inside the cluster."
    )
    served_name: (
        Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9]([A-Za-z0-9._:/-]*[A-Za-z0-9])?$")]
        | None
    ) = Field(
        None, description="Name that requests give as `model`, such as `chat`. The model's catalogue id when left out."
    )
    api_key_secret_ref: SecretKeyRef | None = Field(
        None, description="API key that requests must bring, mounted by the pods. No key is asked for when left out."
    )
    gateway: GatewayRef | None = Field(None, description="The Gateway to which the route is attached.")


class MonitoringMode(StrEnum):
    """Which object tells the metrics system to read the engine's metrics."""

    AUTO = "Auto"
    POD_MONITORING = "PodMonitoring"
    POD_MONITOR = "PodMonitor"
    NONE = "None"


class Monitoring(ApiType):
    """Reading of the engine's metrics."""

    mode: MonitoringMode | None = Field(
        None,
        description="Which object is made: `PodMonitoring` for Google's managed collection, `PodMonitor` for the"
        " Prometheus operator. `Auto` takes the one that the cluster has.",
    )
    interval: Duration | None = Field(None, description="Time between two readings. `15s` when left out.")
