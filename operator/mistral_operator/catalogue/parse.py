"""Untyped catalogue data → typed and checked entries: all files together, and what they say of each other."""

from collections.abc import Mapping

from mistral_operator.catalogue.accelerator import Accelerator
from mistral_operator.catalogue.engine import Engine
from mistral_operator.catalogue.evidence import Evidence, parse_evidence
from mistral_operator.catalogue.model import Model, UnservedModel
from mistral_operator.catalogue.parse_accelerator import parse_accelerator
from mistral_operator.catalogue.parse_engine import parse_engine
from mistral_operator.catalogue.parse_model import parse_model, parse_unserved
from mistral_operator.catalogue.reader import CatalogueError, Reader
from mistral_operator.catalogue.types import ANY, Catalogue, Support, SupportRule

TIERS = ("verified", "documented", "experimental", "refused")


def parse_catalogue(data: Mapping[str, object]) -> Catalogue:
    """Check the whole catalogue; raise CatalogueError at the first fault.

    `data` maps the files' paths below `data/`, such as `models/mixtral-8x7b.yaml`, to their content.
    """
    models: dict[str, Model] = {}
    accelerators: dict[str, Accelerator] = {}
    engines: dict[str, Engine] = {}
    unserved: dict[str, UnservedModel] = {}
    evidence: dict[str, Evidence] = {}
    for path in sorted(path for path in data if path != "support.yaml"):
        folder, _, name = path.partition("/")
        reader = Reader(data[path], path)
        if folder == "evidence":
            evidence[name.removesuffix(".yaml")] = parse_evidence(reader)
            continue
        if reader.text("id") != name.removesuffix(".yaml"):
            raise reader.error("id", "the file's name", reader.text("id"))
        if folder == "models" and reader.has("unserved"):
            unserved[reader.text("id")] = parse_unserved(reader)
        elif folder == "models":
            models[reader.text("id")] = parse_model(reader)
        elif folder == "accelerators":
            accelerators[reader.text("id")] = parse_accelerator(reader)
        elif folder == "engines":
            engines[reader.text("id")] = parse_engine(reader)
        else:
            raise CatalogueError(f"{path}: expected a file below models, accelerators or engines")
    support = parse_support(Reader(data.get("support.yaml"), "support.yaml"))
    catalogue = Catalogue(
        models=models,
        accelerators=accelerators,
        engines=engines,
        support=support,
        unserved=unserved,
        evidence=evidence,
    )
    _check_references(catalogue)
    return catalogue


def parse_support(reader: Reader) -> Support:
    """Parse `support.yaml`."""
    default = reader.inner("default")
    result = Support(
        rules=tuple(_support_rule(item) for item in reader.items("rules")),
        default_tier=default.one_of("tier", TIERS),
        default_evidence=default.text("evidence"),
    )
    default.done()
    reader.done()
    return result


def _support_rule(reader: Reader) -> SupportRule:
    result = SupportRule(
        tier=reader.one_of("tier", TIERS),
        models=reader.texts("models"),
        engines=reader.texts("engines"),
        accelerators=reader.texts("accelerators"),
        precisions=reader.texts("precisions"),
        enough_memory=reader.flag("enough_memory"),
        latent=reader.optional(reader.flag, "latent", None),
        evidence=reader.text("evidence"),
        source=reader.text("source"),
        date=reader.text("date"),
    )
    reader.done()
    return result


def _check_references(catalogue: Catalogue) -> None:
    """Check that every id that is mentioned exists, and that every name means one thing."""
    accelerators = catalogue.accelerators.values()
    for model in catalogue.models.values():
        _check_known(model.engines, catalogue.engines, f"models/{model.id}.yaml: engines")
    for engine in catalogue.engines.values():
        excluded = [name for item in engine.batching for name in item.excluded]
        _check_known(excluded, catalogue.accelerators, f"engines/{engine.id}.yaml: batching: except")
    for index, rule in enumerate(catalogue.support.rules):
        where = f"support.yaml: rules[{index}]"
        _check_named(rule.models, {**catalogue.models, **catalogue.unserved}, f"{where}: models")
        _check_named(rule.engines, catalogue.engines, f"{where}: engines")
        _check_named(rule.accelerators, catalogue.accelerators, f"{where}: accelerators")
    for name, record in catalogue.evidence.items():
        where = f"evidence/{name}.yaml: run"
        _check_known([record.model], catalogue.models, where)
        _check_known([record.engine], catalogue.engines, where)
        _check_known([record.accelerator], catalogue.accelerators, where)
    _check_unique(_named_models(catalogue), "a model's name")
    shapes = [(item, shape) for item in accelerators for shape in item.machines]
    _check_unique(
        [(f"{shape.machine_type} {shape.topology}", f"accelerators/{item.id}.yaml") for item, shape in shapes],
        "a machine_type with its topology",
    )


def _named_models(catalogue: Catalogue) -> list[tuple[str, str]]:
    """Each name of a model in lower case, with the file that gives it."""
    names: list[tuple[str, str]] = []
    for model in catalogue.models.values():
        repositories = [item.repository for item in model.checkpoints] + [item.repository for item in model.drafts]
        names += [(name, model.id) for name in (*{model.id, *model.aliases}, *repositories)]
    for entry in catalogue.unserved.values():
        names += [(name, entry.id) for name in (*{entry.id, *entry.aliases}, *entry.repositories)]
    return [(name.lower(), f"models/{id_}.yaml") for name, id_ in names]


def _check_named(names: tuple[str, ...], known: Mapping[str, object], where: str) -> None:
    if names != (ANY,):
        _check_known(names, known, where)


def _check_known(
    names: Mapping[str, object] | tuple[str, ...] | list[str], known: Mapping[str, object], where: str
) -> None:
    for name in names:
        if name not in known:
            raise CatalogueError(f"{where}: {name} is not in the catalogue; known are {', '.join(known)}")


def _check_unique(names: list[tuple[str, str]], what: str) -> None:
    """Check names with their files; of two the second is at fault."""
    first: dict[str, str] = {}
    for name, file in names:
        if name in first:
            raise CatalogueError(f"{file}: {name.strip()} is {what} in {first[name]} already")
        first[name] = file
