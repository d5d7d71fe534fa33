"""The DNS names of a group's pods, as the cluster's DNS gives them: by a headless Service, and by no other."""

import asyncio

from mistral_operator.sandbox.dial import DialMap
from mistral_operator.sandbox.kube import Kube, KubeError

from .context import PodContext
from .settings import LEAST_RETRY_S


async def name_pod(kube: Kube, dial: DialMap, context: PodContext) -> None:
    """Let the pod be found by its name in its subdomain, once there is a Service that leads there.

    A Service with an address of its own gives its pods no names. One that publishes only those that are ready is no
    help to a group, whose hosts look for each other before that, so it is waited for another.
    """
    spec = context.pod["spec"]
    subdomain = spec.get("subdomain")
    if not subdomain:
        return
    service = f"/api/v1/namespaces/{context.namespace}/services/{subdomain}"
    while not await _is_published(kube, service):  # noqa: ASYNC110  another process makes it
        await asyncio.sleep(LEAST_RETRY_S)
    dial.name_pod(context.namespace, spec.get("hostname") or context.name, subdomain, context.pod_ip)


async def _is_published(kube: Kube, path: str) -> bool:
    try:
        service = await kube.get(path)
    except KubeError:
        return False
    spec = (service or {}).get("spec", {})
    return spec.get("clusterIP") == "None" and spec.get("publishNotReadyAddresses") is True
