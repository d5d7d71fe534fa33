"""Everything that kopf calls. Handlers only hand over what they are given: nothing is decided here.

The framework keeps no state on our objects: `on.event` neither adds finalizers nor annotations.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import kopf

from mistral_operator.api.names import CLAIM_PLURAL, GROUP, MODEL_PLURAL, VERSION
from mistral_operator.cluster.kinds import CLAIM, MODEL, Kind


class Receiver(Protocol):
    """Where the events go. Called in kopf's own thread."""

    async def login(self) -> kopf.ConnectionInfo:
        """The credentials for the API server, as they are now."""
        ...

    def deliver(self, kind: Kind, event: Mapping[str, Any]) -> None:
        """Takes an event: its `type` is ADDED, MODIFIED, DELETED, or None for an object of the first list."""
        ...


def make_registry(receiver: Receiver) -> kopf.OperatorRegistry:
    """The handlers of our own kinds, in a registry of their own."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return await receiver.login()

    @kopf.on.event(GROUP, VERSION, MODEL_PLURAL, registry=registry)
    async def on_model(event: Mapping[str, Any], **_: Any) -> None:
        receiver.deliver(MODEL, event)

    @kopf.on.event(GROUP, VERSION, CLAIM_PLURAL, registry=registry)
    async def on_claim(event: Mapping[str, Any], **_: Any) -> None:
        receiver.deliver(CLAIM, event)

    return registry
