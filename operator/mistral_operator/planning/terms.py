"""The terms of a serving class, which the planner keeps to: hardware that it allows, and images that it gives."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from mistral_operator.api.capacity import CapacityOption
from mistral_operator.catalogue.types import Catalogue
from mistral_operator.planning.estimate import mark_price
from mistral_operator.planning.layout import Misfit
from mistral_operator.planning.modes import UNNAMED
from mistral_operator.planning.types import Consumption, PlannedOption, PlanRefused
from mistral_operator.planning.units import exact_dollars_text
from mistral_operator.planning.wishes import Wish


@dataclass(frozen=True, slots=True)
class Terms:
    """What a class says to the planner. None or empty leaves it open."""

    source: str = ""
    """Whose terms they are, such as `MistralServingClass standard`; empty where there are none."""
    accelerators: tuple[str, ...] = ()
    """Catalogue ids or GKE's names."""
    consumption: tuple[str, ...] = ()
    """Ways to buy, as the API writes them; the first one is what a model gets where OnDemand isn't among them."""
    zones: tuple[str, ...] = ()
    max_hourly_cost: Decimal | None = None
    """US dollars an hour, of all replicas of one model."""
    max_total_hourly_cost: Decimal | None = None
    """The same of all models of the class together."""
    images: tuple[tuple[str, str], ...] = ()
    """Engine id and the image that replaces the operator's and the catalogue's."""
    provisioners: tuple[str, ...] = ()
    """What may make the node pools, as the API writes it."""
    image_caches: tuple[tuple[str, str], ...] = ()
    """Engine id and the disk image that new nodes for it get a second disk of."""

    def choose_images(self, own: Mapping[str, str]) -> dict[str, str]:
        """Engine id → image, the class's before the operator's own."""
        return {**own, **dict(self.images)}

    @property
    def cost_field(self) -> str:
        """The limit on what one model may cost: the lower one of its own and of that on all models together."""
        total = self.max_total_hourly_cost
        alone = self.max_hourly_cost is not None and (total is None or self.max_hourly_cost <= total)
        return f"limits.{'maxHourlyCost' if alone else 'maxTotalHourlyCost'} of {self.source}"

    @property
    def hourly_cost_limit(self) -> Decimal | None:
        """US dollars an hour that one model may cost at most, were it the only one of the class."""
        limits = [limit for limit in (self.max_hourly_cost, self.max_total_hourly_cost) if limit is not None]
        return min(limits, default=None)

    def keep_zones(self, zones: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the zones that are allowed."""
        return tuple(zone for zone in zones if not self.zones or zone in self.zones)

    def allows_accelerator(self, name: str, label: str) -> bool:
        """By its catalogue id or by GKE's name for it."""
        return not self.accelerators or name in self.accelerators or label in self.accelerators

    def allows_consumption(self, consumption: str) -> bool:
        """`consumption` as the API writes it."""
        return not self.consumption or consumption in self.consumption

    @property
    def usual_consumption(self) -> Consumption | None:
        """What a model gets that doesn't say how to buy; None where all that is allowed goes by a name."""
        if self.allows_consumption(Consumption.ON_DEMAND.value):
            return Consumption.ON_DEMAND
        return next((mode for name in self.consumption for mode in UNNAMED if mode.value == name), None)


NO_TERMS: Final = Terms()


def check_hardware(terms: Terms, *, accelerator: str, label: str, consumption: str,
                   zones: Sequence[str]) -> Misfit | None:  # fmt: skip
    """Whether a class allows hardware, which is bought in this way and may be in any of these zones."""
    if not terms.allows_accelerator(accelerator, label):
        return Misfit("AcceleratorNotAllowed", f"{terms.source} allows only {', '.join(terms.accelerators)}")
    if not terms.allows_consumption(consumption):
        return Misfit("ConsumptionNotAllowed", f"{terms.source} allows only {', '.join(terms.consumption)}")
    if terms.zones and (not zones or not set(zones) <= set(terms.zones)):
        return Misfit("ZoneNotAllowed", f"{terms.source} allows only {', '.join(terms.zones)}")
    return None


def check_price(terms: Terms, price: Decimal | None, note: str) -> Misfit | None:
    """Whether the class pays for one replica at all. `note` says where the price is from, or why there is none."""
    limit, field = terms.hourly_cost_limit, terms.cost_field
    if limit is None:
        return None
    if price is None:
        return Misfit("PriceUnknown", f"{note}, so {field} can't be kept; set a price in the operator's settings")
    if price > limit:
        return Misfit(
            "ExceedsHourlyCost",
            f"one replica costs {exact_dollars_text(price)}{mark_price(note)}, more than {field}:"
            f" {exact_dollars_text(limit)}",
        )
    return None


def check_option(terms: Terms, option: PlannedOption) -> Misfit | None:
    """Whether the class allows an option that was planned under other terms."""
    if terms.provisioners and option.provisioner.value not in terms.provisioners:
        return Misfit("ProvisionerNotAllowed", f"{terms.source} allows only {', '.join(terms.provisioners)}")
    misfits = (
        check_hardware(
            terms,
            accelerator=option.accelerator,
            label=option.accelerator_label,
            consumption=purchase.consumption.value,
            zones=purchase.zones,
        )
        for purchase in option.purchases
    )
    return next(filter(None, misfits), None) or check_price(terms, option.hourly_cost, option.price_note)


def hold_to_terms(
    wishes: tuple[Wish, ...], asked: Sequence[CapacityOption], terms: Terms, catalogue: Catalogue
) -> tuple[Wish, ...] | PlanRefused:
    """Fill what the wishes leave open as the class has it; refuse what they fix otherwise.

    `asked` are the options that the wishes were read from, one each, or nothing where there were none.
    """
    if terms == NO_TERMS:
        return wishes
    held = []
    for index, wish in enumerate(wishes):
        option = asked[index] if asked else CapacityOption()
        misfit = next(_find_misfits(wish, option, terms, catalogue), None)
        if misfit:
            field, reason, advice = misfit
            return PlanRefused(reason, f"spec.capacity.options[{index}].{field} is not allowed: {advice}")
        usual = terms.usual_consumption
        held.append(wish if option.consumption or usual is None else replace(wish, consumption=usual))
    return tuple(held)


def _find_misfits(
    wish: Wish, option: CapacityOption, terms: Terms, catalogue: Catalogue
) -> Iterator[tuple[str, str, str]]:
    """Field with its value, reason, and what the class allows with what to write."""
    machine = catalogue.machine(wish.machine_type or "")
    accelerator = machine[0] if machine else catalogue.accelerators.get(wish.accelerator or "")
    if accelerator and not terms.allows_accelerator(accelerator.id, accelerator.label):
        field = f"machineType: {wish.machine_type}" if machine else f"accelerator: {option.accelerator}"
        yield field, "AcceleratorNotAllowed", _advise(terms.source, "accelerators", terms.accelerators)
    named = option.consumption.value if option.consumption else ""
    if named and not terms.allows_consumption(named):
        yield f"consumption: {named}", "ConsumptionNotAllowed", _advise(terms.source, "", terms.consumption)
    if not named and terms.usual_consumption is None:
        yield "consumption", "ConsumptionNotAllowed", _advise(terms.source, "", terms.consumption)
    strangers = [zone for zone in wish.zones if not terms.keep_zones((zone,))]
    if strangers:
        yield f"zones: {', '.join(strangers)}", "ZoneNotAllowed", _advise(terms.source, "zones", terms.zones)


def _advise(source: str, what: str, allowed: Sequence[str]) -> str:
    return f"{source} allows {f'the {what} ' if what else ''}{', '.join(allowed)}; write one of them"
