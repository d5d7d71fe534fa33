"""An extension of the catalogue: files of its own format that are added to the built-in ones, or replace them. Pure.

Keys of a ConfigMap can't hold a slash, so `model.<id>.yaml` stands for `models/<id>.yaml`, and so on. Rules in
`support.yaml` come before the built-in ones, and `prices.yaml` replaces list prices.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from mistral_operator.catalogue.parse import parse_catalogue
from mistral_operator.catalogue.reader import CatalogueError, Reader
from mistral_operator.catalogue.types import Catalogue

FOLDERS: Final = {"model": "models", "accelerator": "accelerators", "engine": "engines", "evidence": "evidence"}
SUPPORT: Final = "support.yaml"
PRICES: Final = "prices.yaml"


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of one's own."""

    machines: Mapping[str, Mapping[str, Decimal]] = field(default_factory=dict)
    """Machine type → way of buying → US dollars an hour for one whole machine."""
    note: str = ""
    """Region, date and source, for people."""


@dataclass(frozen=True, slots=True)
class Extended:
    """The catalogue with its extension."""

    catalogue: Catalogue
    prices: Prices = field(default_factory=Prices)


def extend_catalogue(builtin: Mapping[str, object], files: Mapping[str, object]) -> Extended:
    """Put both together and check the whole; raise CatalogueError that names file and field.

    `builtin` maps paths such as `models/x.yaml` to their content, `files` names such as `model.x.yaml`.
    """
    data = dict(builtin)
    prices = Prices()
    for name, content in sorted(files.items()):
        if name == PRICES:
            prices = read_prices(Reader(content, name))
        elif name == SUPPORT:
            data[SUPPORT] = _join_support(builtin.get(SUPPORT), content)
        else:
            data[_path_of(name)] = content
    catalogue = parse_catalogue(data)
    unknown = sorted(name for name in prices.machines if catalogue.machine(name) is None)
    if unknown:
        raise CatalogueError(f"{PRICES}: machines: {unknown[0]} is not in the catalogue")
    return Extended(catalogue, prices)


def read_prices(reader: Reader) -> Prices:
    """Parse `prices.yaml`."""
    region, date, source = (reader.text(key) for key in ("region", "date", "source"))
    machines = reader.inner("machines")
    result = Prices(
        machines={name: _read_machine(machines.inner(name)) for name in machines.keys()},  # noqa: SIM118
        note=f"{region}, {date}, {source}",
    )
    reader.done()
    return result


def _read_machine(reader: Reader) -> dict[str, Decimal]:
    return {name: reader.decimal(name) for name in reader.keys()}  # noqa: SIM118  a Reader is no dict


def _path_of(name: str) -> str:
    kind, _, rest = name.partition(".")
    if kind not in FOLDERS or not rest.endswith(".yaml"):
        expected = ", ".join(f"{key}.<id>.yaml" for key in FOLDERS)
        raise CatalogueError(f"{name}: expected {expected}, {SUPPORT} or {PRICES}")
    return f"{FOLDERS[kind]}/{rest}"


def _join_support(builtin: object, content: object) -> dict[str, Any]:
    """The extension's rules first; the default stays the built-in one."""
    rules = content.get("rules") if isinstance(content, Mapping) else None
    if not isinstance(content, Mapping) or not isinstance(rules, list) or set(content) != {"rules"}:
        raise CatalogueError(f"{SUPPORT}: expected a mapping with rules, and nothing else")
    known: Mapping[str, Any] = builtin if isinstance(builtin, Mapping) else {}
    return {**known, "rules": [*rules, *known.get("rules", [])]}
