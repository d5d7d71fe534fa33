"""Which images a node already has, and how long or in vain it pulls the others."""

import asyncio
import time
from typing import Any

from .settings import KubeletSettings


class PullError(Exception):
    """The image can't be pulled; the text is the container runtime's."""


class Images:
    """Images by node. Pods of one node wait for the same pull."""

    def __init__(self, settings: KubeletSettings) -> None:
        self._settings = settings
        self._present: set[tuple[str, str]] = set()
        self._pulls: dict[tuple[str, str], asyncio.Lock] = {}

    def needs_pull(self, node: str, container: dict[str, Any]) -> bool:
        """By the container's imagePullPolicy and what the node has."""
        return container.get("imagePullPolicy") == "Always" or (node, container["image"]) not in self._present

    async def pull(self, node: str, container: dict[str, Any]) -> float:
        """Pull, and return the real seconds that it took. Raises PullError."""
        image = container["image"]
        started = time.monotonic()
        async with self._pulls.setdefault((node, image), asyncio.Lock()):
            if container.get("imagePullPolicy") == "Never" and (node, image) not in self._present:
                raise PullError(f'Container image "{image}" is not present with pull policy of Never')
            if any(part in image for part in self._settings.failing_images):
                await asyncio.sleep(self._settings.real_s(1))
                raise PullError(
                    f'rpc error: code = NotFound desc = failed to pull and unpack image "{image}": '
                    f'failed to resolve reference "{image}": {image}: not found'
                )
            if (node, image) not in self._present:
                large = "vllm" in image
                await asyncio.sleep(
                    self._settings.real_s(self._settings.engine_pull_s if large else self._settings.pull_s)
                )
                self._present.add((node, image))
        return time.monotonic() - started

    def forget_node(self, node: str) -> None:
        """A node of that name that comes again has an empty disk."""
        self._present = {(name, image) for name, image in self._present if name != node}
        self._pulls = {key: lock for key, lock in self._pulls.items() if key[0] != node}
