"""Estimates of start-up time and cost: no promises, for their constants are data with an `unverified` mark."""

from dataclasses import replace
from decimal import Decimal
from math import ceil
from typing import Final

from mistral_operator.catalogue.accelerator import Accelerator, MachineShape
from mistral_operator.catalogue.engine import Engine
from mistral_operator.catalogue.extend import Prices
from mistral_operator.catalogue.units import GIB
from mistral_operator.planning.types import Consumption, Settings, StartupEstimate

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
    own = settings.prices.get(shape.machine_type, {}).get(consumption.value)
    if own is not None:
        return own, "from the operator's settings" + (f" ({settings.price_note})" if settings.price_note else "")
    listed = shape.prices.get(consumption.value)
    if listed is None:
        return None, f"no price known for {shape.machine_type} as {consumption.value}"
    price = accelerator.price
    elsewhere = f"; not the price of {region}" if region and region != price.region else ""
    return listed, f"list price of {price.region} on {price.date} ({price.source}), {UNVERIFIED}{elsewhere}"


def mark_price(note: str) -> str:
    """What follows a price whose note says that nobody confirmed it."""
    return f", {UNVERIFIED}" if UNVERIFIED in note else ""


def override_prices(settings: Settings, own: Prices) -> Settings:
    """The settings with prices of one's own in the place of those that they had for the same machine types."""
    if not own.machines:
        return settings
    return replace(settings, prices={**settings.prices, **own.machines}, price_note=own.note)
