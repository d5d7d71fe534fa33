"""One file of `engines/` → a typed and checked entry."""

from decimal import Decimal

from mistral_operator.catalogue.engine import Batching, Efficiency, Engine, HostRule, MemoryRule, SlotRule, StartupRule
from mistral_operator.catalogue.provenance import read_provenance
from mistral_operator.catalogue.reader import Reader

KINDS = ("gpu", "tpu")
PARALLELISMS = ("tensor", "pipeline", "data", "expert")


def parse_engine(reader: Reader) -> Engine:
    """Parse one file of `engines/`."""
    result = Engine(
        id=reader.text("id"),
        name=reader.text("name"),
        kind=reader.one_of("kind", KINDS),
        version=reader.text("version"),
        image=reader.optional(reader.text, "image", ""),
        image_digest=reader.optional(reader.text, "image_digest", None),
        precisions=reader.texts("precisions"),
        kv_cache_precisions=reader.texts("kv_cache_precisions"),
        fp8_kv_cache_capability=reader.decimal("fp8_kv_cache_capability"),
        multi_host=reader.flag("multi_host"),
        converted_checkpoint=reader.flag("converted_checkpoint"),
        loads_revision=reader.flag("loads_revision"),
        slots=_slots(reader.inner("slots")) if reader.has("slots") else None,
        recipe=reader.optional(reader.text, "recipe", ""),
        utilization=reader.decimal("utilization"),
        batching=tuple(_batching(item) for item in reader.items("batching")),
        memory=_memory(reader.inner("memory")),
        host=_host(reader.inner("host")),
        startup=_startup(reader.inner("startup")),
        efficiency=_efficiency(reader.inner("efficiency")),
        parallelism=reader.texts("parallelism"),
        provenance=read_provenance(reader),
    )
    reader.done()
    if not 0 < result.utilization <= 1:
        raise reader.error("utilization", "a share above 0 and at most 1", result.utilization)
    if bool(result.image) == bool(result.recipe):
        raise reader.error("image, recipe", "one of the two", (result.image, result.recipe))
    if not {"tensor"} <= set(result.parallelism) <= set(PARALLELISMS):
        raise reader.error("parallelism", f"tensor, and some of {', '.join(PARALLELISMS)}", result.parallelism)
    if not result.batching or result.batching[-1].at_least_gib:
        raise reader.error("batching", "a last class from 0 GiB for every device", "none")
    return result


def _slots(reader: Reader) -> SlotRule:
    result = SlotRule(context=reader.whole("context"), prompt_share=reader.decimal("prompt_share"))
    reader.done()
    if not 0 < result.prompt_share < 1:
        raise reader.error("prompt_share", "a share between 0 and 1", result.prompt_share)
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
        beside_cpu=reader.optional(reader.whole, "beside_cpu", 0),
        beside_gib=reader.optional(reader.whole, "beside_gib", 0),
    )
    reader.done()
    return result


def _startup(reader: Reader) -> StartupRule:
    result = StartupRule(
        image_gib=reader.whole("image_gib"),
        image_gib_s=reader.decimal("image_gib_s"),
        weights_gib_s=reader.decimal("weights_gib_s"),
        bucket_gib_s=reader.decimal("bucket_gib_s"),
        compile_s=reader.whole("compile_s"),
        compile_s_per_gib=reader.decimal("compile_s_per_gib"),
        cached_share=reader.decimal("cached_share"),
        ready_s=reader.whole("ready_s"),
    )
    reader.done()
    if Decimal(0) in (result.image_gib_s, result.weights_gib_s, result.bucket_gib_s):
        raise reader.error("image_gib_s, weights_gib_s, bucket_gib_s", "speeds above 0", "0")
    return result


def _efficiency(reader: Reader) -> Efficiency:
    result = Efficiency(
        compute=reader.decimal("compute"),
        bandwidth=reader.decimal("bandwidth"),
        interconnect=reader.decimal("interconnect"),
        layer_us=reader.whole("layer_us", least=0),
        collective_us=reader.whole("collective_us", least=0),
        step_us=reader.whole("step_us", least=0),
        uncertainty=reader.decimal("uncertainty"),
    )
    reader.done()
    for name, share in (
        ("compute", result.compute),
        ("bandwidth", result.bandwidth),
        ("interconnect", result.interconnect),
    ):
        if not 0 < share <= 1:
            raise reader.error(name, "a share above 0 and at most 1", share)
    if not 1 <= result.uncertainty <= 1000:
        raise reader.error("uncertainty", "a factor from 1 to 1000", result.uncertainty)
    return result
