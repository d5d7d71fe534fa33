"""An option of the ladder, complete enough to be rendered, and what its reader should know."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

from mistral_operator.planning.candidate import Candidate, Task, price_candidate, zones_of
from mistral_operator.planning.estimate import estimate_startup
from mistral_operator.planning.existing import label_nodes, note_nodes
from mistral_operator.planning.fit import Fit, usual_context
from mistral_operator.planning.formats import is_weight_only
from mistral_operator.planning.host import HostRequest
from mistral_operator.planning.image_cache import find_image_cache, note_image_cache
from mistral_operator.planning.modes import longest_run_s, note_mode
from mistral_operator.planning.order import Split
from mistral_operator.planning.sharing import Division, share_utilization
from mistral_operator.planning.support import Verdict
from mistral_operator.planning.types import PlannedOption, Provisioner, StartupEstimate
from mistral_operator.planning.units import dollars_text, tokens_text


def build_option(task: Task, candidate: Candidate, split: Split, host: HostRequest, verdict: Verdict) -> PlannedOption:
    """Everything about a candidate that is good enough."""
    accelerator, shape, runtime = candidate.accelerator, candidate.shape, candidate.runtime
    engine, demand, layout, fitted = runtime.engine.engine, runtime.demand, split.layout, split.fitted
    hourly_cost, price_note = price_candidate(task, candidate)
    return PlannedOption(
        name=candidate.name,
        accelerator=accelerator.id,
        accelerator_label=accelerator.label,
        resource_name=accelerator.resource,
        machine_type=shape.machine_type,
        devices=shape.total_devices,
        consumption=candidate.wish.consumption,
        zones=zones_of(task, candidate),
        engine=engine.id,
        engine_version=engine.version,
        image=candidate.runtime.engine.image,
        precision=demand.precision,
        kv_cache_precision=demand.kv_cache_precision,
        tensor_parallel=layout.tensor_parallel,
        pipeline_parallel=layout.pipeline_parallel,
        context_length=fitted.context_length,
        max_context_length=fitted.max_context_length,
        max_concurrency=fitted.max_concurrency * layout.data_parallel,
        kv_cache_tokens=fitted.kv_cache_tokens * layout.data_parallel,
        max_batched_tokens=fitted.max_batched_tokens,
        gpu_memory_utilization=str(share_utilization(engine.utilization, candidate.clients)),
        memory=fitted.memory,
        host_cpu=host.cpu,
        host_memory=f"{host.memory_gib}Gi",
        shm_bytes=host.shared_memory_bytes,
        startup=_estimate_startup(candidate, fitted),
        hourly_cost=hourly_cost,
        price_note=price_note,
        tier=verdict.tier,
        evidence=verdict.evidence,
        notes=tuple(_notes(task, candidate, split)),
        topology=shape.topology,
        hosts=shape.hosts,
        max_prompt_tokens=engine.slots.prompt_tokens(fitted.context_length) if engine.slots else 0,
        data_parallel=layout.data_parallel,
        expert_parallel=layout.expert_parallel,
        throughput=split.throughput,
        reservation=candidate.wish.reservation,
        max_run_s=longest_run_s(candidate.wish.consumption),
        placement_policy=shape.placement_policy,
        **_describe_sharing(candidate.division),
        **_describe_nodes(task, candidate),
    )


def _describe_nodes(task: Task, candidate: Candidate) -> dict[str, Any]:
    existing = task.provisioner is Provisioner.EXISTING
    return {
        "provisioner": task.provisioner,
        "node_labels": label_nodes(task, candidate) if existing else {},
        "image_cache": find_image_cache(task, candidate),
    }


def _describe_sharing(division: Division | None) -> dict[str, Any]:
    if division is None:
        return {}
    return {
        "partition": division.partition,
        "clients": division.clients,
        "replicas_per_node": division.replicas,
        "shared_gpus": division.gpus,
    }


def _estimate_startup(candidate: Candidate, fitted: Fit) -> StartupEstimate:
    runtime = candidate.runtime
    bucket = bool(runtime.weights.bucket and runtime.engine.engine.converted_checkpoint)
    weights_bytes = fitted.memory.weights_bytes
    engine = runtime.engine.engine
    estimate = estimate_startup(engine, candidate.accelerator, runtime.checkpoint_bytes, weights_bytes, bucket=bucket)
    return estimate if candidate.group is None else replace(estimate, node_s=0)


def _notes(task: Task, candidate: Candidate, split: Split) -> Iterator[str]:
    engine, demand, fitted = candidate.runtime.engine.engine, candidate.runtime.demand, split.fitted
    usual = usual_context(task.model, engine)
    if demand.context_length is None and fitted.context_length < usual:
        yield (
            f"context lowered from the recommended {tokens_text(usual)} to {tokens_text(fitted.context_length)},"
            f" so that {engine.memory.full_sequences} full sequences fit; spec.engine.contextLength fixes it"
        )
    if candidate.shape.hosts > 1:
        yield (
            f"a replica is a slice of {candidate.shape.hosts} machines, which come and go together: a lost one starts"
            " the whole replica anew, and the LeaderWorkerSet controller has to be in the cluster"
        )
    if candidate.shape.placement_policy:
        yield (
            "the slice is placed by a workload policy of Compute Engine, one for each replica, which the operator makes"
            " before the node pool and deletes after it; its identity needs compute.resourcePolicies.*"
        )
    if engine.slots:
        prompt = engine.slots.prompt_tokens(fitted.context_length)
        yield (
            f"of the {tokens_text(fitted.context_length)} of context a prompt may take {prompt:,}; the server samples"
            " greedily, whatever a request asks for"
        )
    if is_weight_only(candidate.accelerator, demand.precision):
        word = demand.precision.upper()
        yield f"{candidate.accelerator.name} stores {word} weights and computes in 16 bit: memory is saved, time is not"
    if split.layout.data_parallel > 1:
        yield (
            f"a replica holds {split.layout.data_parallel} copies of the model, which share its requests; they start"
            " and end together"
        )
    if candidate.division:
        yield from _note_sharing(candidate, candidate.division, price_candidate(task, candidate)[0])
    if task.provisioner is Provisioner.EXISTING:
        yield from note_nodes(candidate)
    yield from note_image_cache(task, candidate)
    yield from note_mode(candidate.wish.consumption, candidate.wish.reservation)


def _note_sharing(candidate: Candidate, division: Division, price: Decimal | None) -> Iterator[str]:
    machine, count = candidate.shape.machine_type, division.replicas
    told = price and f": {dollars_text(price / count)} for each of {count}, and {dollars_text(price)} for one"
    yield (
        f"{machine} holds {count} such replicas, of one model or of several of the namespace, and costs the same with"
        f" fewer{told or ''}; a spend limit counts whole machines, the price of tokens is that of a full and busy one"
    )
    if division.clients > 1:
        yield (
            f"the {division.clients} replicas on a GPU take turns, and only their engines' restraint divides its"
            " memory: one that takes more, or fails, can end the others; let only models share it that trust each other"
        )
