"""An extension of the catalogue: files of its own format that are added to the built-in ones, or replace them. Pure.

Keys of a ConfigMap can't hold a slash, so `model.<id>.yaml` stands for `models/<id>.yaml`, and so on. Rules in
`support.yaml` come before the built-in ones, and `prices.yaml` replaces list prices.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from mistral_operator.catalogue.parse import parse_catalogue
from mistral_operator.catalogue.parse_accelerator import read_prices
from mistral_operator.catalogue.reader import CatalogueError, Reader
from mistral_operator.catalogue.types import Catalogue

FOLDERS: Final = {"model": "models", "accelerator": "accelerators", "engine": "engines", "evidence": "evidence"}
SUPPORT: Final = "support.yaml"
PRICES: Final = "prices.yaml"
_ID: Final = re.compile("[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")


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
    data, prices = dict(builtin), Prices()
    paths = {name: _path_of(name) for name in sorted(files) if name not in (PRICES, SUPPORT)}
    data |= {path: files[name] for name, path in paths.items()}
    if SUPPORT in files:
        data[SUPPORT] = _join_support(builtin.get(SUPPORT), files[SUPPORT])
    _check_engines(builtin, paths)
    try:
        catalogue = parse_catalogue(data)
    except CatalogueError as error:
        raise CatalogueError(_name_files(str(error), paths)) from None
    if PRICES in files:
        prices = parse_prices(Reader(files[PRICES], PRICES))
        _check_machines(catalogue, prices.machines)
    return Extended(catalogue, prices)


def parse_prices(reader: Reader) -> Prices:
    """Parse `prices.yaml`."""
    region, date, source = (reader.text(key) for key in ("region", "date", "source"))
    machines = reader.inner("machines")
    result = Prices(
        machines={name: read_prices(machines.inner(name)) for name in machines.keys()},  # noqa: SIM118
        note=f"{region}, {date}, {source}",
    )
    reader.done()
    return result


def _check_engines(builtin: Mapping[str, object], paths: Mapping[str, str]) -> None:
    """An engine of another id has no code that starts it."""
    known = [_id_of(path) for path in builtin if path.startswith("engines/")]
    for name, path in paths.items():
        if path.startswith("engines/") and _id_of(path) not in known:
            raise CatalogueError(f"{name}: the operator has no such engine; it can replace {', '.join(sorted(known))}")


def _check_machines(catalogue: Catalogue, names: Iterable[str]) -> None:
    for name in names:
        if catalogue.machine(name) is None:
            raise CatalogueError(f"{PRICES}: machines: {name} is not in the catalogue")


def _path_of(name: str) -> str:
    kind, _, rest = name.partition(".")
    if kind not in FOLDERS or not rest.endswith(".yaml") or not _ID.fullmatch(rest.removesuffix(".yaml")):
        expected = ", ".join(f"{key}.<id>.yaml" for key in FOLDERS)
        raise CatalogueError(f"{name}: expected {expected}, {SUPPORT} or {PRICES}")
    return f"{FOLDERS[kind]}/{rest}"


def _id_of(path: str) -> str:
    return path.partition("/")[2].removesuffix(".yaml")


def _name_files(message: str, paths: Mapping[str, str]) -> str:
    """The message with the names that the files have in the extension."""
    for name, path in paths.items():
        message = message.replace(path, name)
    return message


def _join_support(builtin: object, content: object) -> dict[str, Any]:
    """The extension's rules first; the default stays the built-in one."""
    rules = content.get("rules") if isinstance(content, Mapping) else None
    if not isinstance(content, Mapping) or not isinstance(rules, list) or set(content) != {"rules"}:
        raise CatalogueError(f"{SUPPORT}: expected a mapping with rules, and nothing else")
    known: Mapping[str, Any] = builtin if isinstance(builtin, Mapping) else {}
    return {**known, "rules": [*rules, *known.get("rules", [])]}
