"""What vLLM takes on any accelerator: `vllm serve` with every flag that the plan decided, spelled out."""

from collections.abc import Mapping
from typing import Final

from mistral_operator.api.model import MistralModelSpec
from mistral_operator.engines.budget import startup_budget_s, wanted_drain_s
from mistral_operator.engines.drain import choose_drain, find_shortest_notice
from mistral_operator.engines.protocol import CACHE_DIRECTORY, HTTP_PORT_NAME, Check, ContainerLaunch, EngineLaunch
from mistral_operator.planning.types import Plan, PlannedOption

CONTAINER: Final = "vllm"
PORT: Final = 8000
HEALTH: Final = Check(HTTP_PORT_NAME, "/health")
QUEUE_METRIC: Final = "vllm:num_requests_waiting"
# The image is prepared for this user with group 0 (vLLM's docs/deployment/docker.md).
USER_ID: Final = 2000
GROUP_ID: Final = 0

# With every name that vLLM 0.33 knows them by. Beside what the plan decides: what would bring in settings past it
# (--config), secrets on the command line, other sockets, or code of the repository.
OWN_FLAGS: Final = frozenset({
    "--model", "--served-model-name", "--revision", "--tokenizer-revision", "--code-revision", "--dtype",
    "--quantization", "-q", "--kv-cache-dtype", "--tensor-parallel-size", "-tp", "--pipeline-parallel-size", "-pp",
    "--data-parallel-size", "-dp", "--max-model-len", "--max-num-seqs", "--max-num-batched-tokens",
    "--gpu-memory-utilization", "--device-memory-utilization", "--kv-cache-memory-bytes", "--nnodes", "-n",
    "--node-rank", "-r", "--host", "--port", "--uds", "--shutdown-timeout", "--api-key", "--hf-token", "--config",
    "--trust-remote-code",
})  # fmt: skip


def launch(spec: MistralModelSpec, plan: Plan, option: PlannedOption) -> EngineLaunch:
    """One replica in one pod, as on any accelerator."""
    drain = choose_drain(wanted_drain_s(spec), find_shortest_notice(option))
    budget_s = startup_budget_s(option)
    engine = ContainerLaunch(
        name=CONTAINER,
        image=option.image,
        command=("vllm", "serve"),
        args=_serve_arguments(spec, plan, option, drain_s=drain.drain_s),
        env=_environment(plan, budget_s),
        ports={HTTP_PORT_NAME: PORT},
        ready=HEALTH,
        alive=HEALTH,
    )
    return EngineLaunch(
        engine=engine,
        startup_budget_s=budget_s,
        drain_s=drain.drain_s,
        endpoint_removal_s=drain.endpoint_removal_s,
        run_as_user=USER_ID,
        run_as_group=GROUP_ID,
    )


def _serve_arguments(spec: MistralModelSpec, plan: Plan, option: PlannedOption, *, drain_s: int) -> tuple[str, ...]:
    """The arguments of `vllm serve`, the model first."""
    revision = ("--revision", plan.revision) if plan.revision else ()
    return (
        plan.repository,
        *("--served-model-name", plan.served_name),
        *revision,
        *("--port", str(PORT)),
        *_numerics(plan, option),
        *("--tensor-parallel-size", str(option.tensor_parallel)),
        *_copies(option),
        *("--max-model-len", str(option.context_length)),
        *("--max-num-seqs", str(option.max_concurrency // option.data_parallel)),
        *("--max-num-batched-tokens", str(option.max_batched_tokens)),
        *("--gpu-memory-utilization", option.gpu_memory_utilization),
        *_cache(option),
        *plan.engine_flags,
        *("--shutdown-timeout", str(drain_s)),
        *("--disable-access-log-for-endpoints", "/health,/metrics,/ping"),
        *(spec.engine.extra_args if spec.engine else ()),
    )


def _cache(option: PlannedOption) -> tuple[str, ...]:
    """The KV cache in bytes where others use the device, too: what the engine would measure as free is theirs as well.

    Engines that start at once would each take the other's weights for their own (vllm issue 55827), and one that sees
    memory become free while it measures ends (issue 56830).
    """
    return ("--kv-cache-memory-bytes", str(option.memory.kv_cache_bytes)) if option.clients > 1 else ()


def _copies(option: PlannedOption) -> tuple[str, ...]:
    """What goes beyond tensor parallelism. The number of sequences is one of each copy."""
    stages, copies = option.pipeline_parallel, option.data_parallel
    return (
        *(("--pipeline-parallel-size", str(stages)) if stages > 1 else ()),
        *(("--data-parallel-size", str(copies)) if copies > 1 else ()),
        *(("--enable-expert-parallel",) if option.expert_parallel else ()),
    )


def _numerics(plan: Plan, option: PlannedOption) -> tuple[str, ...]:
    """Weights that are published in 8 bit say so themselves; others are quantised when they are loaded."""
    quantization = ("--quantization", "fp8") if option.precision == "fp8" != plan.weights_precision else ()
    kv_cache = ("--kv-cache-dtype", "fp8") if option.kv_cache_precision == "fp8" else ()
    return ("--dtype", "bfloat16", *quantization, *kv_cache)


def _environment(plan: Plan, startup_budget_s: int) -> Mapping[str, str]:
    """Where vLLM may write, how long it may take, that it reports to nobody, and what the model can't do without."""
    return {
        **plan.engine_env,
        "HF_HOME": f"{CACHE_DIRECTORY}/huggingface",
        "HOME": CACHE_DIRECTORY,
        "TMPDIR": "/tmp",  # noqa: S108  an emptyDir of the pod's own: the root file system is read-only
        "VLLM_CACHE_ROOT": f"{CACHE_DIRECTORY}/vllm",
        "VLLM_ENGINE_READY_TIMEOUT_S": str(startup_budget_s),
        "VLLM_NO_USAGE_STATS": "1",
    }
