"""Untyped catalogue data → typed and checked entries, each kind of file with one function."""

from collections.abc import Mapping
from decimal import Decimal

from mistral_operator.catalogue.reader import CatalogueError, Reader
from mistral_operator.catalogue.types import (
    Accelerator,
    Architecture,
    Batching,
    Catalogue,
    Checkpoint,
    Engine,
    Experts,
    HostRule,
    License,
    MachineShape,
    MemoryRule,
    Model,
    ModelEngine,
    PriceList,
    Provenance,
    StartupRule,
    Support,
    SupportRule,
    VisionTower,
)

PRECISIONS = ("bf16", "fp8")
CONSUMPTIONS = ("OnDemand", "Spot")
TIERS = ("verified", "documented", "experimental", "refused")


def parse_catalogue(data: Mapping[str, object]) -> Catalogue:
    """Check the whole catalogue; raise CatalogueError at the first fault.

    `data` maps the files' paths below `data/`, such as `models/mixtral-8x7b.yaml`, to their content.
    """
    models: dict[str, Model] = {}
    accelerators: dict[str, Accelerator] = {}
    engines: dict[str, Engine] = {}
    for path in sorted(path for path in data if path != "support.yaml"):
        folder, _, name = path.partition("/")
        reader = Reader(data[path], path)
        if reader.text("id") != name.removesuffix(".yaml"):
            raise reader.error("id", "the file's name", reader.text("id"))
        if folder == "models":
            models[reader.text("id")] = parse_model(reader)
        elif folder == "accelerators":
            accelerators[reader.text("id")] = parse_accelerator(reader)
        elif folder == "engines":
            engines[reader.text("id")] = parse_engine(reader)
        else:
            raise CatalogueError(f"{path}: expected a file below models, accelerators or engines")
    support = parse_support(Reader(data.get("support.yaml"), "support.yaml"))
    catalogue = Catalogue(models=models, accelerators=accelerators, engines=engines, support=support)
    _check_references(catalogue)
    return catalogue


def parse_model(reader: Reader) -> Model:
    """Parse one file of `models/`."""
    context = reader.inner("context")
    engines = reader.inner("engines")
    memory = reader.inner("documented_memory_gb")
    model = Model(
        id=reader.text("id"),
        name=reader.text("name"),
        family=reader.text("family"),
        released=reader.text("released"),
        aliases=reader.texts("aliases"),
        license=_license(reader.inner("license")),
        parameters=reader.whole("parameters"),
        architecture=_architecture(reader.inner("architecture")),
        max_context=context.whole("maximum"),
        recommended_context=context.whole("recommended"),
        precision=reader.one_of("precision", PRECISIONS),
        checkpoints=tuple(_checkpoint(item) for item in reader.items("checkpoints")),
        engines={name: _model_engine(engines.inner(name)) for name in engines.keys()},  # noqa: SIM118  a Reader is no dict
        documented_memory_gb={name: memory.whole(name) for name in memory.keys()},  # noqa: SIM118
        modalities=reader.texts("modalities"),
        notes=reader.texts("notes"),
        provenance=_provenance(reader),
    )
    context.done()
    reader.done()
    if not model.checkpoints:
        raise reader.error("checkpoints", "at least one repository", [])
    if model.recommended_context > model.max_context:
        raise reader.error("context", f"recommended ≤ maximum = {model.max_context}", model.recommended_context)
    return model


def _license(reader: Reader) -> License:
    result = License(id=reader.text("id"), commercial_use=reader.one_of("commercial_use", ("yes", "no", "conditional")))
    reader.done()
    return result


def _architecture(reader: Reader) -> Architecture:
    result = Architecture(
        kind=reader.one_of("kind", ("dense", "moe")),
        layers=reader.whole("layers"),
        hidden=reader.whole("hidden"),
        intermediate=reader.whole("intermediate"),
        heads=reader.whole("heads"),
        kv_heads=reader.whole("kv_heads"),
        head_dim=reader.whole("head_dim"),
        vocabulary=reader.whole("vocabulary"),
        tied_embeddings=reader.flag("tied_embeddings"),
        sliding_window=reader.whole("sliding_window") if reader.has("sliding_window") else None,
        experts=_experts(reader.inner("experts")) if reader.has("experts") else None,
        vision=_vision(reader.inner("vision")) if reader.has("vision") else None,
    )
    reader.done()
    if (result.kind == "moe") != (result.experts is not None):
        raise reader.error("experts", "experts exactly where kind is moe", result.kind)
    if result.heads % result.kv_heads:
        raise reader.error("kv_heads", f"a divisor of heads = {result.heads}", result.kv_heads)
    return result


def _experts(reader: Reader) -> Experts:
    result = Experts(
        count=reader.whole("count"), active=reader.whole("active"), intermediate=reader.whole("intermediate")
    )
    reader.done()
    return result


def _vision(reader: Reader) -> VisionTower:
    result = VisionTower(
        encoder=reader.text("encoder"),
        parameters=reader.whole("parameters"),
        layers=reader.whole("layers"),
        hidden=reader.whole("hidden"),
        patch=reader.whole("patch"),
        max_image=reader.whole("max_image"),
    )
    reader.done()
    return result


def _checkpoint(reader: Reader) -> Checkpoint:
    result = Checkpoint(
        repository=reader.text("repository"),
        variant=reader.one_of("variant", ("instruct", "base")),
        precision=reader.one_of("precision", PRECISIONS),
        revision=reader.text("revision") if reader.has("revision") else None,
        gated=reader.flag("gated") if reader.has("gated") else None,
    )
    reader.done()
    return result


def _model_engine(reader: Reader) -> ModelEngine:
    result = ModelEngine(
        since=reader.text("since"), flags=reader.texts("flags"), tool_calling=reader.texts("tool_calling")
    )
    reader.done()
    return result


def _provenance(reader: Reader) -> Provenance:
    sources = reader.inner("sources")
    return Provenance(
        sources={name: sources.text(name) for name in sources.keys()},  # noqa: SIM118
        unverified=reader.texts("unverified"),
    )


def parse_accelerator(reader: Reader) -> Accelerator:
    """Parse one file of `accelerators/`."""
    regions = reader.texts("regions")
    consumption = reader.texts("consumption")
    price = reader.inner("price")
    result = Accelerator(
        id=reader.text("id"),
        name=reader.text("name"),
        kind=reader.one_of("kind", ("gpu",)),
        label=reader.text("label"),
        resource=reader.text("resource"),
        architecture=reader.text("architecture"),
        compute_capability=reader.text("compute_capability"),
        memory_gib=reader.whole("memory_gib"),
        usable_memory_gib=reader.decimal("usable_memory_gib"),
        bandwidth_gb_s=reader.whole("bandwidth_gb_s"),
        bf16_tflops=reader.whole("bf16_tflops"),
        fp8_tflops=reader.whole("fp8_tflops") if reader.has("fp8_tflops") else None,
        bf16=reader.flag("bf16"),
        fp8=reader.one_of("fp8", ("native", "weight-only", "none")),
        interconnect=reader.one_of("interconnect", ("nvlink", "pcie")),
        interconnect_gb_s=reader.whole("interconnect_gb_s") if reader.has("interconnect_gb_s") else None,
        node_start_s=reader.whole("node_start_s"),
        price=PriceList(region=price.text("region"), date=price.text("date"), source=price.text("source")),
        machines=tuple(_machine(item, regions, consumption) for item in reader.items("machines")),
        provenance=_provenance(reader),
    )
    price.done()
    reader.done()
    if result.usable_memory_gib > result.memory_gib:
        raise reader.error("usable_memory_gib", f"at most memory_gib = {result.memory_gib}", result.usable_memory_gib)
    return result


def _machine(reader: Reader, regions: tuple[str, ...], consumption: tuple[str, ...]) -> MachineShape:
    prices = reader.inner("prices")
    result = MachineShape(
        machine_type=reader.text("machine_type"),
        devices=reader.whole("devices"),
        cpu=reader.whole("cpu"),
        memory_gib=reader.whole("memory_gib"),
        regions=reader.texts("regions") if reader.has("regions") else regions,
        consumption=reader.texts("consumption") if reader.has("consumption") else consumption,
        prices={name: prices.decimal(name) for name in prices.keys()},  # noqa: SIM118
    )
    reader.done()
    for name in (*result.consumption, *result.prices):
        if name not in CONSUMPTIONS:
            raise reader.error("consumption", f"one of {', '.join(CONSUMPTIONS)}", name)
    return result


def parse_engine(reader: Reader) -> Engine:
    """Parse one file of `engines/`."""
    result = Engine(
        id=reader.text("id"),
        name=reader.text("name"),
        kind=reader.one_of("kind", ("gpu",)),
        version=reader.text("version"),
        image=reader.text("image"),
        image_digest=reader.text("image_digest") if reader.has("image_digest") else None,
        precisions=reader.texts("precisions"),
        kv_cache_precisions=reader.texts("kv_cache_precisions"),
        fp8_kv_cache_capability=reader.decimal("fp8_kv_cache_capability"),
        utilization=reader.decimal("utilization"),
        batching=tuple(_batching(item) for item in reader.items("batching")),
        memory=_memory(reader.inner("memory")),
        host=_host(reader.inner("host")),
        startup=_startup(reader.inner("startup")),
        provenance=_provenance(reader),
    )
    reader.done()
    if not 0 < result.utilization <= 1:
        raise reader.error("utilization", "a share above 0 and at most 1", result.utilization)
    if not result.batching or result.batching[-1].at_least_gib:
        raise reader.error("batching", "a last class from 0 GiB for every device", "none")
    return result


def _batching(reader: Reader) -> Batching:
    result = Batching(
        at_least_gib=reader.whole("at_least_gib", least=0),
        excluded=reader.texts("except"),
        sequences=reader.whole("sequences"),
        tokens=reader.whole("tokens"),
    )
    reader.done()
    return result


def _memory(reader: Reader) -> MemoryRule:
    result = MemoryRule(
        context_gib=reader.decimal("context_gib"),
        graphs_gib=reader.decimal("graphs_gib"),
        communication_gib=reader.decimal("communication_gib"),
        activation_factor=reader.decimal("activation_factor"),
        vision_gib=reader.decimal("vision_gib"),
        context_margin=reader.decimal("context_margin"),
        full_sequences=reader.whole("full_sequences"),
        sequence_tokens=reader.whole("sequence_tokens"),
        least_context=reader.whole("least_context"),
    )
    reader.done()
    if result.context_margin >= 1:
        raise reader.error("context_margin", "a share below 1", result.context_margin)
    return result


def _host(reader: Reader) -> HostRule:
    result = HostRule(
        base_gib=reader.whole("base_gib"),
        device_gib=reader.whole("device_gib", least=0),
        shared_memory_gib=reader.whole("shared_memory_gib"),
        shared_memory_parallel_gib=reader.whole("shared_memory_parallel_gib"),
    )
    reader.done()
    return result


def _startup(reader: Reader) -> StartupRule:
    result = StartupRule(
        image_gib=reader.whole("image_gib"),
        image_gib_s=reader.decimal("image_gib_s"),
        weights_gib_s=reader.decimal("weights_gib_s"),
        compile_s=reader.whole("compile_s"),
        compile_s_per_gib=reader.decimal("compile_s_per_gib"),
    )
    reader.done()
    if Decimal(0) in (result.image_gib_s, result.weights_gib_s):
        raise reader.error("image_gib_s, weights_gib_s", "speeds above 0", "0")
    return result


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
        evidence=reader.text("evidence"),
        source=reader.text("source"),
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
        _check_known(rule.models, catalogue.models, f"{where}: models")
        _check_known(rule.engines, catalogue.engines, f"{where}: engines")
        _check_known(rule.accelerators, catalogue.accelerators, f"{where}: accelerators")
    models = catalogue.models.values()
    names = [name.lower() for model in models for name in {model.id, *model.aliases}]
    repositories = [item.repository.lower() for model in models for item in model.checkpoints]
    _check_unique([*names, *repositories], "models: a model's name")
    _check_unique(
        [shape.machine_type for item in accelerators for shape in item.machines], "accelerators: machine_type"
    )


def _check_known(
    names: Mapping[str, object] | tuple[str, ...] | list[str], known: Mapping[str, object], where: str
) -> None:
    for name in names:
        if name not in known:
            raise CatalogueError(f"{where}: {name} is not in the catalogue; known are {', '.join(known)}")


def _check_unique(names: list[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise CatalogueError(f"{what} is used twice: {name}")
        seen.add(name)
