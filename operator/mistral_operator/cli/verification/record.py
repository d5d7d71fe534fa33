"""From a model's status and the results of the checks to the record, in the format of the support matrix. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mistral_operator.cli.verification.checks import Results
from mistral_operator.cli.verification.load import Measured, Workload

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Subject:
    """The served model, as its status tells it."""

    model: str
    served_name: str
    url: str
    context_length: int
    workload: Workload
    run: Json
    """What ran where: part of the record."""
    estimate: Json
    """Of one replica."""
    replicas: int


def read_subject(model: Json, most_requests: int) -> Subject | str:
    """Read what is needed of a MistralModel that is served, or say what is missing."""
    status = model.get("status") or {}
    plan, endpoint = status.get("plan") or {}, status.get("endpoint") or {}
    chosen = plan.get("chosen") or {}
    if not endpoint.get("url") or not chosen.get("contextLength"):
        return "its status has no plan and endpoint yet"
    if chosen.get("part"):
        return f"it runs on {chosen['part']}, and a record is of whole devices: remove sharing to verify them"
    speed = chosen.get("estimatedSpeed") or {}
    engine, _, version = str(chosen.get("engine", "")).partition(" ")
    return Subject(
        model=str(plan.get("model", "")),
        served_name=str(endpoint.get("servedName") or model["metadata"]["name"]),
        url=str(endpoint["url"]),
        context_length=int(chosen["contextLength"]),
        workload=Workload(
            input_tokens=min(int(speed.get("inputTokens", 1024)), int(chosen["contextLength"]) // 2),
            output_tokens=int(speed.get("outputTokens", 256)),
            concurrency=max(1, min(most_requests, int(speed.get("concurrency", 1)))),
        ),
        run={
            "model": plan.get("model", ""),
            "repository": plan.get("repository", ""),
            "revision": plan.get("repositoryRevision"),
            "engine": engine,
            "engine_version": version,
            "image": chosen.get("image", ""),
            "option": chosen.get("name", ""),
            "accelerator": chosen.get("accelerator", ""),
            "machine_type": chosen.get("machineType", ""),
            "devices": chosen.get("devices", 1),
            "tensor_parallel": chosen.get("tensorParallel", 1),
            "pipeline_parallel": chosen.get("pipelineParallel", 1),
            "data_parallel": chosen.get("dataParallel", 1),
            "expert_parallel": bool(chosen.get("expertParallel")),
            "precision": chosen.get("precision", ""),
            "kv_cache_precision": chosen.get("kvCachePrecision", ""),
            "context_length": chosen["contextLength"],
            "planner_version": plan.get("plannerVersion", ""),
        },
        estimate=speed,
        replicas=int(status.get("readyReplicas") or 1),
    )


def write_record(subject: Subject, results: Results, *, by: str, date: str, cluster_version: str) -> dict[str, Any]:
    """The record, ready to be written as YAML."""
    passed = all(check.passed for check in results.checks)
    measured = None if results.measured is None else _round(asdict(results.measured))
    return {
        "stand_in": results.stand_in,
        "passed": passed,
        "summary": _summarize(subject, results, passed=passed),
        "date": date,
        "by": by,
        "cluster_version": cluster_version,
        "run": dict(subject.run),
        "replicas": subject.replicas,
        "checks": [asdict(check) for check in results.checks],
        "workload": asdict(subject.workload),
        "measured": measured,
        "estimated": dict(subject.estimate),
        "measured_to_estimated": _compare(subject, results.measured),
    }


def _compare(subject: Subject, measured: Measured | None) -> float | None:
    """Output tokens/s by the estimate's; None where one replica was not measured at what its estimate is stated for."""
    workload, estimate = subject.workload, subject.estimate
    asked = (workload.input_tokens, workload.output_tokens, workload.concurrency)
    stated = tuple(estimate.get(name) for name in ("inputTokens", "outputTokens", "concurrency"))
    estimated = estimate.get("outputTokensPerSecond")
    if measured is None or not estimated or asked != stated or subject.replicas != 1:
        return None
    return round(measured.output_tokens_per_s / int(estimated), 2)


def _summarize(subject: Subject, results: Results, *, passed: bool) -> str:
    failed = [check.name for check in results.checks if not check.passed]
    outcome = "all checks passed" if passed else f"failed: {', '.join(failed)}"
    speed = results.measured
    estimate = subject.estimate.get("outputTokensPerSecond")
    if speed is None:
        return outcome
    told = f"; {speed.output_tokens_per_s:.0f} output tokens/s with {speed.concurrency} requests at once"
    compared = f", {estimate} estimated with {subject.estimate.get('concurrency')}" if estimate else ""
    return outcome + told + compared


def _round(figures: Mapping[str, float]) -> dict[str, float | int]:
    return {name: value if isinstance(value, int) else round(value, 1) for name, value in figures.items()}
