"""Fields that are in the API but not built yet: refused by name, never silently ignored."""

from collections.abc import Mapping
from typing import Any, Final

from mistral_operator.api.engine import Engine, EngineType
from mistral_operator.api.model import MistralModel
from mistral_operator.core.parts import find_conflict
from mistral_operator.engines.registry import ENGINES
from mistral_operator.status.findings import Finding, unmet

_SCRAPE: Final = (
    "Use None; the engine's metrics are at /metrics: with vLLM on the pods' port `http`, with JetStream on `metrics`,"
    " where `http` shows the gateway's."
)
# Path → what to write instead. A path means "set to anything", path=value only that value.
NOT_YET: Final[Mapping[str, str]] = {
    "customModel": "Give a catalogue model in spec.model; weights of a fine-tune go into spec.weights.huggingFace.",
    "upgradePolicy=Window": "Use Manual.",
    "upgradePolicy=Auto": "Use Manual.",
    "weights.persistentVolumeClaim": "Use spec.weights.huggingFace.",
    "weights.image": "Use spec.weights.huggingFace.",
    "weights.cache.mode=Node": "Leave weights.cache out; each replica loads its own weights.",
    "weights.cache.mode=None": "Leave weights.cache out; each replica loads its own weights.",
    "engine.adapters": "Leave it out.",
    "engine.speculative": "Leave it out.",
    "scaling.autoscaler=KEDA": "Use HPA or None.",
    "scaling.scaleToZero": "Leave it out; `kubectl scale --replicas=0` works by hand.",
    "scaling.schedules": "Leave it out.",
    "rollout.canary": "Leave it out.",
    "endpoint.mode=Gateway": "Use Service.",
    "endpoint.mode=InferenceGateway": "Use Service.",
    "endpoint.apiKeySecretRef": "Leave it out, and keep the Service inside the cluster.",
    "endpoint.gateway": "Leave it out.",
    "monitoring.mode=PodMonitoring": _SCRAPE,
    "monitoring.mode=PodMonitor": _SCRAPE,
    "monitoring.interval": "Leave it out; nothing is collected yet.",
}
_USE_FIELD: Final = "Use the field of spec.engine that is meant for it, or leave it out."
_SUPPORTED_TARGETS: Final = frozenset({"queuedRequests"})


def find_unsupported(model: MistralModel) -> Finding | None:
    """Name the first field that is set and not built yet, or repeats what the operator decides."""
    spec = model.spec.model_dump(by_alias=True, exclude_defaults=True, mode="json")
    return (
        _find_in_spec(spec)
        or _find_bucket(spec)
        or _find_misplaced(model)
        or _find_target(spec)
        or _find_repeated(model)
    )


def _find_in_spec(spec: Mapping[str, Any]) -> Finding | None:
    for entry, advice in NOT_YET.items():
        path, _, value = entry.partition("=")
        if _is_set(spec, path, value):
            return _refuse(path, value, advice)
    return None


def _find_bucket(spec: Mapping[str, Any]) -> Finding | None:
    """A bucket holds checkpoints in an engine's own format, so far; others load a repository."""
    if spec.get("engine", {}).get("type") == EngineType.JETSTREAM_MAXTEXT.value:
        return None
    asked = next((path for path in ("weights.gcs", "weights.cache") if _is_set(spec, path, "")), None)
    return (
        _refuse(asked, "", "Only JetStreamMaxText uses a bucket yet; use spec.weights.huggingFace.") if asked else None
    )


def _find_misplaced(model: MistralModel) -> Finding | None:
    """What options say of replicas has to divide them all."""
    conflict = find_conflict(model.spec.capacity.options if model.spec.capacity else ())
    return unmet("FieldConflict", f"spec.capacity.{conflict}.") if conflict else None


def _find_target(spec: Mapping[str, Any]) -> Finding | None:
    target = spec.get("scaling", {}).get("target") or {}
    other = sorted(set(target) - _SUPPORTED_TARGETS)
    return _refuse(f"scaling.target.{other[0]}", "", "Use queuedRequests.") if other else None


def _find_repeated(model: MistralModel) -> Finding | None:
    """Arguments and variables that the plan decides can't be given twice: the engine would take either."""
    engine = model.spec.engine or Engine()
    owned_flags = frozenset[str]().union(*(e.owned_flags for e in ENGINES.values()))
    owned_env = frozenset[str]().union(*(e.owned_env for e in ENGINES.values()))
    repeated = next((word for word in engine.extra_args if name_flag(word) in owned_flags), None)
    if repeated:
        return unmet("FieldConflict", f"spec.engine.extraArgs repeats {repeated}, which the plan decides. {_USE_FIELD}")
    names = [variable.name for variable in engine.env]
    twice = next((name for name in names if name in owned_env or names.count(name) > 1), None)
    if twice:
        return unmet(
            "FieldConflict", f"spec.engine.env sets {twice} twice, or where the operator sets it. Leave it out."
        )
    return None


def name_flag(word: str) -> str:
    """The flag that an engine reads from a word: `--max_model_len=9` and `--max-model-len 9` are the same one."""
    before_value = word.partition("=")[0].split()
    head = before_value[0] if before_value else ""
    if head.startswith("--"):
        return head.partition(".")[0].replace("_", "-")
    return head.rstrip("0123456789")


def _is_set(holder: Mapping[str, Any], path: str, value: str) -> bool:
    found: Any = holder
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return False
        found = found[name]
    return found == value if value else found not in ([], {}, "")


def _refuse(path: str, value: str, advice: str) -> Finding:
    what = f"spec.{path}: {value}" if value else f"spec.{path}"
    return unmet("NotYetSupported", f"{what} is not supported yet. {advice}")
