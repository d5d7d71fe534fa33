"""Namespaces for single tests."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.polling import eventually

from mistral_operator.sandbox.kube import Kube


@asynccontextmanager
async def new_namespace(kube: Kube, prefix: str = "test") -> AsyncIterator[str]:
    """Yield the name of a fresh namespace, ready for pods; deleted afterwards, without waiting for its end."""
    name = f"{prefix}-{secrets.token_hex(4)}"
    await kube.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    # Pods are refused until the controller manager has made the namespace's service account.
    await eventually(lambda: kube.get(f"/api/v1/namespaces/{name}/serviceaccounts/default"), message="service account")
    try:
        yield name
    finally:
        await kube.delete(f"/api/v1/namespaces/{name}")
