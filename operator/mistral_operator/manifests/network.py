"""How requests reach a model."""

from mistral_operator.api.model import MistralModel
from mistral_operator.engines.protocol import HTTP_PORT_NAME
from mistral_operator.manifests.identity import Manifest, own, pod_selector

SERVICE_PORT = 80


def build_service(model: MistralModel) -> Manifest:
    """Render the Service in front of the replicas that answer requests."""
    return own(
        model,
        api_version="v1",
        kind="Service",
        name=model.metadata.name,
        spec={
            "type": "ClusterIP",
            "selector": pod_selector(model),
            "ports": [{"name": HTTP_PORT_NAME, "port": SERVICE_PORT, "targetPort": HTTP_PORT_NAME, "protocol": "TCP"}],
        },
    )


def endpoint_url(model: MistralModel) -> str:
    """The OpenAI-compatible base URL inside the cluster."""
    return f"http://{model.metadata.name}.{model.metadata.namespace}.svc/v1"
