"""Custom resource definitions from a directory or a file, applied and waited for."""

import asyncio
from pathlib import Path

import yaml

from .kube import Kube, KubeError, Object

PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MANAGER = "mistral-sandbox"
TIMEOUT_S = 30.0
POLL_S = 0.05


async def install_crds(kube: Kube, source: Path) -> list[str]:
    """Apply every definition in the YAML file, or in those of the directory; returns their names when all can be used.

    Other documents in these files are ignored. Raises KubeError, also when one isn't served in time.
    """
    definitions = _read(source)
    names = [definition["metadata"]["name"] for definition in definitions]
    for name, definition in zip(names, definitions, strict=True):
        await kube.apply(f"{PATH}/{name}", definition, MANAGER)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            for name, definition in zip(names, definitions, strict=True):
                while not await _usable(kube, name, definition):  # noqa: ASYNC110
                    await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise KubeError(0, "NotEstablished", f"{name} is not served after {TIMEOUT_S:g} s") from None
    return names


def _read(source: Path) -> list[Object]:
    # The pure Python loader takes a minute for a definition that holds whole pod templates.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    paths = [source] if source.is_file() else sorted(source.glob("*.yaml"))
    files = [path.read_bytes() for path in paths]
    documents = [d for content in files for d in yaml.load_all(content, Loader=loader)]
    return [d for d in documents if d and d.get("kind") == "CustomResourceDefinition"]


async def _usable(kube: Kube, name: str, definition: Object) -> bool:
    """Established, and served: the handler for a new kind starts a moment after the condition is set."""
    current = await kube.get(f"{PATH}/{name}")
    conditions = (current or {}).get("status", {}).get("conditions") or []
    if not any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
        return False
    spec = definition["spec"]
    versions = [v["name"] for v in spec["versions"] if v["served"]]
    for version in versions:
        if await kube.get(f"/apis/{spec['group']}/{version}/{spec['names']['plural']}", {"limit": "1"}) is None:
            return False
    return True
