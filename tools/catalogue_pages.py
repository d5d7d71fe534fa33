"""Writes docs/reference/{models,accelerators,engines,support}.md from the catalogue, or checks them.

Usage: python tools/catalogue_pages.py --write | --check
"""

import sys
from collections.abc import Iterable
from pathlib import Path

from written_page import table, write_or_check

from mistral_operator.catalogue.accelerator import Accelerator, MachineShape
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.catalogue.model import Model
from mistral_operator.cli.catalogue import list_support
from mistral_operator.planning.memory import device_weights_bytes, kv_cache_bytes_per_token
from mistral_operator.planning.units import gib_text

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
KNOWN = load_catalogue()
_PARTITIONS = (
    "What MIG makes of a GPU [when it is asked for](../sharing-a-gpu.md). Sizes of which a GPU has only one are left"
    " out: nothing is shared.\n"
)
NOTE = (
    "Generated from the catalogue by `make crds`; `mistral-operator catalogue {0} -o json` prints the same as data.\n"
)


def render_models() -> str:
    """Every model, and those that nothing serves."""
    served = table(
        (
            "Model",
            "Parameters",
            "Context",
            "Weights published in",
            "KV cache a token",
            "License",
            "Engines",
            "Other names",
        ),
        (_model_row(model) for model in KNOWN.models.values()),
    )
    unserved = table(("Model", "Why it isn't served"), ((f"`{m.id}`", m.reason) for m in KNOWN.unserved.values()))
    unsure = table(
        ("Model", "Not confirmed by any source"),
        ((f"`{m.id}`", _code(m.provenance.unverified)) for m in KNOWN.models.values() if m.provenance.unverified),
    )
    head = "# Models\n\n" + NOTE.format("models")
    return f"{head}{served}## Known, and not served\n{unserved}## What is not confirmed\n{unsure}"


def _model_row(model: Model) -> tuple[str, ...]:
    published = dict.fromkeys(f"{item.variant} {item.precision}" for item in model.checkpoints)
    cache = kv_cache_bytes_per_token(model.architecture, "bf16")
    size = gib_text(device_weights_bytes(model.architecture, model.precision))
    return (
        f"`{model.id}`",
        f"{model.parameters / 1e9:.1f} × 10⁹ ({size})",
        f"{model.max_context:,}",
        ", ".join(published),
        f"{cache:,} bytes" if cache else "a state a sequence",
        f"{model.license.id}" + (", to be accepted" if model.license.needs_acceptance else ""),
        ", ".join(model.engines),
        _code(model.aliases),
    )


def render_accelerators() -> str:
    """Every machine; slices of several in one row for each machine."""
    rows = [
        _machine_row(item, shape) for item in KNOWN.accelerators.values() for shape in item.machines if shape.hosts == 1
    ]
    machines = table(
        (
            "Accelerator",
            "GKE's label",
            "Machine",
            "Devices",
            "GiB each",
            "Topology",
            "Slices",
            "Sold as",
            "US dollars an hour",
        ),
        rows,
    )
    prices = table(
        ("Accelerator", "Prices of", "on", "from", "Not confirmed by any source"),
        (
            (f"`{a.id}`", a.price.region, a.price.date, a.price.source, _code(a.provenance.unverified))
            for a in KNOWN.accelerators.values()
        ),
    )
    note = (
        "A machine that is listed is not one that has stock. All prices are list prices of other people's exports of"
        " Google's price list, **unverified**; the operator's settings replace them.\n"
    )
    head = f"# Accelerators\n\n{NOTE.format('accelerators')}\n{note}{machines}"
    return f"{head}## Partitions\n\n{_PARTITIONS}{_render_partitions()}## Where the figures come from\n{prices}"


def _render_partitions() -> str:
    """Every size that a GPU can be divided into."""
    rows = (
        (
            f"`{gpu.id}`",
            f"`{part.name}`",
            *map(str, (part.count, part.usable_memory_gib, part.memory, part.compute)),
        )
        for gpu in KNOWN.accelerators.values()
        for part in gpu.partitions
    )
    return table(("Accelerator", "Partition", "Of one GPU", "Usable GiB", "Of its memory", "Of its operations"), rows)


def _machine_row(accelerator: Accelerator, shape: MachineShape) -> tuple[str, ...]:
    slices = [
        item.topology for item in accelerator.machines if item.machine_type == shape.machine_type and item.hosts > 1
    ]
    return (
        f"`{accelerator.id}`",
        f"`{accelerator.label}`",
        f"`{shape.machine_type}`",
        str(shape.devices if shape.share == 1 else shape.share),
        str(accelerator.memory_gib),
        shape.topology,
        ", ".join(slices),
        ", ".join(shape.consumption),
        ", ".join(f"{how} {price}" for how, price in shape.prices.items()) or "unknown",
    )


def render_engines() -> str:
    """Every engine with the constants of its estimates."""
    rows = (
        (
            f"`{engine.id}`",
            engine.version,
            f"`{engine.image}`" if engine.image else f"built by `{engine.recipe}`",
            ", ".join(engine.precisions),
            ", ".join(engine.parallelism) + (", pipeline over hosts" if engine.multi_host else ""),
            f"{engine.utilization:.0%}",
            f"{engine.efficiency.compute:.0%}, {engine.efficiency.bandwidth:.0%}",
            f"× {engine.efficiency.uncertainty}",
            _code(engine.provenance.unverified),
        )
        for engine in KNOWN.engines.values()
    )
    head = (
        "Engine", "Version", "Image", "Weights", "Parallelism", "Share of memory", "Share of peak compute, bandwidth",
        "Uncertainty of speeds", "Not confirmed by any source",
    )  # fmt: skip
    return f"# Engines\n\n{NOTE.format('engines')}{table(head, rows)}"


def render_support() -> str:
    """The support matrix: for each model and engine a row, the accelerators by tier."""
    rows = list_support(KNOWN)
    pairs = dict.fromkeys((row["model"], row["engine"]) for row in rows)
    lines = []
    for model, engine in pairs:
        mine = [row for row in rows if (row["model"], row["engine"]) == (model, engine)]
        tiers = (
            ", ".join(f"{row['accelerator']} ({row['devices']})" for row in mine if row["tier"] == tier)
            for tier in ("verified", "documented", "experimental")
        )
        refused = ", ".join(row["accelerator"] for row in mine if row["tier"] == "refused")
        lines.append((f"`{model}`", f"`{engine}`", *tiers, refused))
    note = (
        "The fewest devices with the best tier are in brackets. `verified`: somebody has recorded a run on the"
        " hardware; `documented`: an upstream source says that it runs; `experimental`: nobody does; it needs"
        " `spec.allowExperimental`. `mistral-operator catalogue support` gives each pair's evidence.\n"
    )
    head = ("Model", "Engine", "Verified", "Documented", "Experimental", "Refused")
    return f"# Support matrix\n\n{NOTE.format('support')}\n{note}{table(head, lines)}"


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def main(arguments: list[str]) -> int:
    """The exit code."""
    pages = {
        FOLDER / "models.md": render_models(),
        FOLDER / "accelerators.md": render_accelerators(),
        FOLDER / "engines.md": render_engines(),
        FOLDER / "support.md": render_support(),
    }
    return write_or_check({page: text.rstrip("\n") + "\n" for page, text in pages.items()}, arguments, __doc__ or "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
