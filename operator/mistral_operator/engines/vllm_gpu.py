"""vLLM on NVIDIA GPUs: `vllm serve` with every flag that the plan decided, spelled out."""

from collections.abc import Mapping

from mistral_operator.api.common import duration_seconds
from mistral_operator.api.engine import RESERVED_ENV
from mistral_operator.api.model import MistralModelSpec
from mistral_operator.engines.drain import choose_drain
from mistral_operator.engines.protocol import EngineLaunch
from mistral_operator.planning.types import Plan, PlannedOption

PORT = 8000
CACHE_DIRECTORY = "/cache"
# The image is prepared for this user with group 0 (vLLM's docs/deployment/docker.md).
USER_ID = 2000
GROUP_ID = 0
# Start-up estimates are rough: a container is restarted only when it takes three times as long, and never before.
STARTUP_MARGIN = 3
SHORTEST_STARTUP_BUDGET_S = 600

# With every name that vLLM 0.33 knows them by. Beside what the plan decides: what would bring in settings past it
# (--config), secrets on the command line, other sockets, or code of the repository.
_OWN_FLAGS = frozenset({
    "--model", "--served-model-name", "--revision", "--tokenizer-revision", "--code-revision", "--dtype",
    "--quantization", "-q", "--kv-cache-dtype", "--tensor-parallel-size", "-tp", "--pipeline-parallel-size", "-pp",
    "--data-parallel-size", "-dp", "--max-model-len", "--max-num-seqs", "--max-num-batched-tokens",
    "--gpu-memory-utilization", "--device-memory-utilization", "--kv-cache-memory-bytes", "--nnodes", "-n",
    "--node-rank", "-r", "--host", "--port", "--uds", "--shutdown-timeout", "--api-key", "--hf-token", "--config",
    "--trust-remote-code",
})  # fmt: skip


class VllmGpu:
    """The engine `vllm-gpu`."""

    id = "vllm-gpu"
    container = "vllm"
    queue_metric = "vllm:num_requests_waiting"
    owned_flags = _OWN_FLAGS
    owned_env = frozenset(RESERVED_ENV)

    def launch(self, spec: MistralModelSpec, plan: Plan, option: PlannedOption) -> EngineLaunch:
        """Say how to run one replica of `plan` as `option`."""
        drain = choose_drain(_wanted_drain_s(spec), option.consumption)
        startup_budget_s = max(SHORTEST_STARTUP_BUDGET_S, STARTUP_MARGIN * _inside_container_s(option))
        return EngineLaunch(
            image=option.image,
            command=("vllm", "serve"),
            args=(plan.repository, *_flags(spec, plan, option, drain_s=drain.drain_s)),
            env=_environment(startup_budget_s),
            port=PORT,
            health_path="/health",
            startup_budget_s=startup_budget_s,
            drain_s=drain.drain_s,
            endpoint_removal_s=drain.endpoint_removal_s,
            run_as_user=USER_ID,
            run_as_group=GROUP_ID,
        )


def _wanted_drain_s(spec: MistralModelSpec) -> int | None:
    wanted = spec.rollout.drain_timeout if spec.rollout else None
    return None if wanted is None else duration_seconds(wanted)


def _inside_container_s(option: PlannedOption) -> int:
    return option.startup.weights_s + option.startup.compile_s


def _flags(spec: MistralModelSpec, plan: Plan, option: PlannedOption, *, drain_s: int) -> tuple[str, ...]:
    revision = ("--revision", plan.revision) if plan.revision else ()
    return (
        *("--served-model-name", plan.served_name),
        *revision,
        *("--port", str(PORT)),
        *_numerics(option),
        *("--tensor-parallel-size", str(option.tensor_parallel)),
        *(("--pipeline-parallel-size", str(option.pipeline_parallel)) if option.pipeline_parallel > 1 else ()),
        *("--max-model-len", str(option.context_length)),
        *("--max-num-seqs", str(option.max_concurrency)),
        *("--max-num-batched-tokens", str(option.max_batched_tokens)),
        *("--gpu-memory-utilization", option.gpu_memory_utilization),
        *plan.engine_flags,
        *("--shutdown-timeout", str(drain_s)),
        *("--disable-access-log-for-endpoints", "/health,/metrics,/ping"),
        *(spec.engine.extra_args if spec.engine else ()),
    )


def _numerics(option: PlannedOption) -> tuple[str, ...]:
    quantization = ("--quantization", "fp8") if option.precision == "fp8" else ()
    kv_cache = ("--kv-cache-dtype", "fp8") if option.kv_cache_precision == "fp8" else ()
    return ("--dtype", "bfloat16", *quantization, *kv_cache)


def _environment(startup_budget_s: int) -> Mapping[str, str]:
    return {
        "HF_HOME": f"{CACHE_DIRECTORY}/huggingface",
        "HOME": CACHE_DIRECTORY,
        "TMPDIR": "/tmp",  # noqa: S108  an emptyDir of the pod's own: the root file system is read-only
        "VLLM_CACHE_ROOT": f"{CACHE_DIRECTORY}/vllm",
        "VLLM_ENGINE_READY_TIMEOUT_S": str(startup_budget_s),
        "VLLM_NO_USAGE_STATS": "1",
    }
