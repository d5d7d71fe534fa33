"""What the catalogue knows about the nodes of a claim. Pure."""

from collections.abc import Mapping
from decimal import Decimal

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.capacity.pools import NodeFacts
from mistral_operator.catalogue.types import Catalogue

Prices = Mapping[str, Mapping[str, Decimal]]


def find_node_facts(catalogue: Catalogue, prices: Prices, claim: NodePoolClaim) -> NodeFacts:
    """`prices` (machine type → consumption → US dollars an hour) come before the catalogue's.

    An accelerator that the catalogue doesn't know, or no longer, has no facts; its claims are worked on all the same.
    """
    shape, mode = claim.spec.shape, claim.spec.consumption.value
    accelerator = next((a for a in catalogue.accelerators.values() if a.label == shape.accelerator.type), None)
    if accelerator is None:
        return NodeFacts(hourly_price=prices.get(shape.machine_type, {}).get(mode))
    machine = next((m for m in accelerator.machines if m.machine_type == shape.machine_type), None)
    listed = machine.prices.get(mode) if machine else None
    return NodeFacts(
        hourly_price=prices.get(shape.machine_type, {}).get(mode, listed),
        accelerator_memory_gib=accelerator.memory_gib * shape.accelerator.count,
    )
