"""What the catalogue knows about the nodes of a claim. Pure."""

from collections.abc import Mapping
from decimal import Decimal

from mistral_operator.api.capacity import Consumption
from mistral_operator.api.claim import ClaimShape, NodePoolClaim
from mistral_operator.capacity.pools import NodeFacts
from mistral_operator.capacity.purchases import ways_of
from mistral_operator.catalogue.accelerator import Accelerator, find_price
from mistral_operator.catalogue.types import Catalogue

Prices = Mapping[str, Mapping[str, Decimal]]


def find_node_facts(catalogue: Catalogue, prices: Prices, claim: NodePoolClaim) -> NodeFacts:
    """`prices` (machine type → consumption → US dollars an hour) come before the catalogue's.

    A machine type that the catalogue doesn't know, or no longer, has no facts; its claims are worked on all the same.
    """
    shape = claim.spec.shape
    known = catalogue.machine(shape.machine_type)
    listed = known[1].prices if known else {}
    price, *further = (_find_price(prices, shape.machine_type, listed, way.consumption) for way in ways_of(claim))
    if known is None:
        return NodeFacts(hourly_price=price, further_prices=tuple(further))
    accelerator, machine = known
    return NodeFacts(
        hourly_price=price,
        further_prices=tuple(further),
        accelerator_memory_gib=accelerator.memory_gib * shape.accelerator.count,
        boot_disk=machine.boot_disk,
        local_ssds=machine.local_ssds,
        replicas=_count_replicas(accelerator, claim.spec.shape),
    )


def _find_price(
    prices: Prices, machine_type: str, listed: Mapping[str, Decimal], consumption: Consumption
) -> Decimal | None:
    own = find_price(prices.get(machine_type, {}), consumption.value)
    return find_price(listed, consumption.value) if own is None else own


def _count_replicas(accelerator: Accelerator, shape: ClaimShape) -> int:
    """Replicas on one node: one, unless they share its GPUs. An unknown partition counts as a whole GPU."""
    if shape.sharing is None:
        return 1
    partition = accelerator.find_partition(shape.sharing.partition or "")
    return shape.accelerator.count * (shape.sharing.clients or (partition.count if partition else 1))
