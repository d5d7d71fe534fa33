"""How sure we are that a model runs on an engine and an accelerator."""

from dataclasses import dataclass

from mistral_operator.catalogue.accelerator import Accelerator
from mistral_operator.catalogue.engine import Engine
from mistral_operator.catalogue.evidence import Evidence
from mistral_operator.catalogue.model import Model
from mistral_operator.catalogue.types import ANY, Catalogue, SupportRule
from mistral_operator.planning.types import Tier

GIGABYTE = 10**9


@dataclass(frozen=True, slots=True)
class Verdict:
    """A tier and what it rests on."""

    tier: Tier
    evidence: str


def judge(
    catalogue: Catalogue, model: Model, engine: Engine, accelerator: Accelerator, devices: int, precision: str
) -> Verdict:
    """Apply the first support rule that matches one replica on `devices` devices."""
    proven = _find_evidence(catalogue, model, engine, accelerator, devices, precision)
    if proven:
        return Verdict(Tier.VERIFIED, f"{proven.by} ran it on {proven.date} ({proven.machine_type}): {proven.summary}")
    memory_bytes = devices * accelerator.usable_bytes
    missing = ""
    for rule in catalogue.support.rules:
        if not _covers(rule, model, engine, accelerator, precision):
            continue
        if _enough(rule, model, precision, memory_bytes):
            note = _memory_note(rule, model, precision) + (missing if rule.tier == Tier.EXPERIMENTAL else "")
            return Verdict(Tier(rule.tier), f"{rule.evidence} ({_cite(rule)}){note}")
        missing = missing or _shortage_note(model, precision, memory_bytes)
    return Verdict(Tier(catalogue.support.default_tier), catalogue.support.default_evidence + missing)


def doubt_sharing(verdict: Verdict) -> Verdict:
    """What is known of a whole device says little of a part: neither source nor record is about shared ones."""
    if verdict.tier in (Tier.REFUSED, Tier.EXPERIMENTAL):
        return verdict
    doubt = "no source, and no record, is about a shared GPU; of a whole one"
    return Verdict(Tier.EXPERIMENTAL, f"{doubt}: {verdict.evidence}")


def _find_evidence(
    catalogue: Catalogue, model: Model, engine: Engine, accelerator: Accelerator, devices: int, precision: str
) -> Evidence | None:
    """The newest record of just this combination: another version of an engine, or a device more, proves nothing."""
    wanted = (model.id, engine.id, engine.version, accelerator.id, precision)
    found = [
        record
        for record in catalogue.evidence.values()
        if (record.model, record.engine, record.engine_version, record.accelerator, record.precision) == wanted
        and record.coupled_devices == devices
    ]
    return max(found, key=lambda record: (record.date, record.by), default=None)


def _covers(rule: SupportRule, model: Model, engine: Engine, accelerator: Accelerator, precision: str) -> bool:
    pairs = (
        (model.id, rule.models),
        (engine.id, rule.engines),
        (accelerator.id, rule.accelerators),
        (precision, rule.precisions),
    )
    latent = model.architecture.latent is not None
    return rule.latent in (None, latent) and all(name in names or names == (ANY,) for name, names in pairs)


def _cite(rule: SupportRule) -> str:
    return rule.source if rule.date in rule.source or rule.date == "unknown" else f"{rule.source}, {rule.date}"


def _enough(rule: SupportRule, model: Model, precision: str, memory_bytes: int) -> bool:
    if not rule.enough_memory:
        return True
    documented_gb = model.documented_memory_gb.get(precision)
    return documented_gb is not None and memory_bytes >= documented_gb * GIGABYTE


def _shortage_note(model: Model, precision: str, memory_bytes: int) -> str:
    documented_gb = model.documented_memory_gb.get(precision)
    if documented_gb is None:
        return f"; the documentation states no memory for {precision}"
    has = f"{memory_bytes / GIGABYTE:.0f} GB"
    return f"; the documentation asks for {documented_gb} GB at {precision}, and the devices have {has}"


def _memory_note(rule: SupportRule, model: Model, precision: str) -> str:
    return f": {model.documented_memory_gb[precision]} GB at {precision}" if rule.enough_memory else ""
