"""Estimates of start-up time and cost: no promises, for their constants are data with an `unverified` mark."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from math import ceil
from typing import Final

from mistral_operator.catalogue.accelerator import Accelerator, MachineShape, find_price
from mistral_operator.catalogue.engine import Engine
from mistral_operator.catalogue.extend import Prices
from mistral_operator.catalogue.units import GIB
from mistral_operator.planning.types import Consumption, Settings, StartupEstimate
from mistral_operator.planning.units import exact_dollars_text

UNVERIFIED: Final = "unverified"


def estimate_startup(
    engine: Engine, accelerator: Accelerator, checkpoint_bytes: int, device_weights: int, *, bucket: bool = False
) -> StartupEstimate:
    """Seconds by phase from no node to ready, with nothing cached.

    `device_weights` are the bytes on one device; `bucket` says that weights come from a bucket of the same region.
    """
    rule = engine.startup
    speed = rule.bucket_gib_s if bucket else rule.weights_gib_s
    compile_s = rule.compile_s + ceil(rule.compile_s_per_gib * device_weights / GIB)
    return StartupEstimate(
        node_s=accelerator.node_start_s,
        image_s=ceil(rule.image_gib / rule.image_gib_s),
        weights_s=ceil(Decimal(checkpoint_bytes) / GIB / speed),
        compile_s=compile_s,
        ready_s=rule.ready_s,
        cached_compile_s=ceil(compile_s * rule.cached_share),
    )


def price_machine(
    accelerator: Accelerator, shape: MachineShape, consumption: Consumption, region: str, settings: Settings
) -> tuple[Decimal | None, str]:
    """US dollars an hour for one machine, None when no price is known, and a note on where the price comes from."""
    own = settings.prices.get(shape.machine_type, {})
    found = find_price(own, consumption.value)
    if found is not None:
        note = "from the operator's settings" + (f" ({settings.price_note})" if settings.price_note else "")
        return found, note + _mark_on_demand(own, consumption)
    listed = find_price(shape.prices, consumption.value)
    if listed is None:
        return None, f"no price known for {shape.machine_type} as {consumption.value}{_bound(shape, consumption)}"
    price = accelerator.price
    elsewhere = f"; not the price of {region}" if region and region != price.region else ""
    note = f"list price of {price.region} on {price.date} ({price.source}), {UNVERIFIED}{elsewhere}"
    return listed, note + _mark_on_demand(shape.prices, consumption)


def _mark_on_demand(prices: Mapping[str, Decimal], consumption: Consumption) -> str:
    """What follows the price of a reservation that has none of its own."""
    own = consumption is not Consumption.RESERVATION or consumption.value in prices
    return "" if own else "; the price on demand, as a reservation's own terms aren't known"


def _bound(shape: MachineShape, consumption: Consumption) -> str:
    """What is known of a price that isn't."""
    most = shape.prices.get(Consumption.ON_DEMAND.value)
    if consumption is not Consumption.FLEX_START or most is None:
        return ""
    return f" (Google states up to 53 % less than on demand, which is listed at {exact_dollars_text(most)})"


def mark_price(note: str) -> str:
    """What follows a price whose note says that nobody confirmed it."""
    return f", {UNVERIFIED}" if UNVERIFIED in note else ""


def override_prices(settings: Settings, own: Prices) -> Settings:
    """The settings with prices of one's own in the place of those that they had for the same machine types."""
    if not own.machines:
        return settings
    return replace(settings, prices={**settings.prices, **own.machines}, price_note=own.note)
