"""vLLM on TPUs, through its plugin tpu-inference: one process for all chips of a host, Ray between hosts."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from mistral_operator.api.engine import RESERVED_ENV
from mistral_operator.api.model import MistralModelSpec
from mistral_operator.engines import tpu, vllm
from mistral_operator.engines.protocol import ContainerLaunch, Conversion, EngineLaunch
from mistral_operator.planning.types import Plan, PlannedOption

# The image's own helper, which upstream's example for several hosts uses too. It waits until the whole Ray cluster is
# there: the plugin counts the hosts once, when it starts. Its own patience of 300 s is shorter than an image's pull.
_CLUSTER: Final = "bash /workspace/vllm/examples/ray_serving/multi-node-serving.sh"
_PATIENCE: Final = '--ray_init_timeout="$VLLM_ENGINE_READY_TIMEOUT_S"'
# The model's arguments come as words of their own ("$@"): nothing that somebody wrote is read by the shell.
LEADER_COMMAND: Final = (
    "bash",
    "-c",
    f'{_CLUSTER} leader --ray_cluster_size="$LWS_GROUP_SIZE" {_PATIENCE} && exec vllm serve "$@"',
    "vllm-serve",
)
WORKER_COMMAND: Final = ("bash", "-c", f'exec {_CLUSTER} worker --ray_address="$LWS_LEADER_ADDRESS" {_PATIENCE}')


class VllmTpu:
    """The engine `vllm-tpu`."""

    id = "vllm-tpu"
    container = vllm.CONTAINER
    queue_metric = vllm.QUEUE_METRIC
    owned_flags = vllm.OWN_FLAGS | {"--distributed-executor-backend"}
    owned_env = frozenset(RESERVED_ENV)

    def launch(self, spec: MistralModelSpec, plan: Plan, option: PlannedOption) -> EngineLaunch:
        """Say how to run one replica of `plan` as `option`."""
        plain = vllm.launch(spec, plan, option)
        engine = replace(
            plain.engine,
            command=plain.engine.command if option.hosts == 1 else LEADER_COMMAND,
            env={**plain.engine.env, **_environment(option)},
            ports={**plain.engine.ports, tpu.METRICS_PORT_NAME: tpu.METRICS_PORT},
        )
        worker = _worker(engine) if option.hosts > 1 else None
        return replace(plain, engine=engine, scratch=tpu.SCRATCH, worker=worker)

    def convert(self, plan: Plan, option: PlannedOption) -> Conversion | None:
        """VLLM loads the published files."""
        return None


def _worker(leader: ContainerLaunch) -> ContainerLaunch:
    """Another host's part of the Ray cluster: it is given its work by the leader, and answers no requests."""
    ports = {tpu.METRICS_PORT_NAME: tpu.METRICS_PORT}
    return replace(leader, command=WORKER_COMMAND, args=(), ports=ports, ready=None, alive=None)


def _environment(option: PlannedOption) -> Mapping[str, str]:
    """Tpu-inference has no code of its own for Mistral's architectures: it is told to take vLLM's."""
    several = {"JAX_PLATFORMS": "", "PJRT_DEVICE": "TPU", "TPU_MULTIHOST_BACKEND": "ray"}
    return {
        "JAX_COMPILATION_CACHE_DIR": tpu.COMPILE_CACHE,
        "MODEL_IMPL_TYPE": "vllm",
        "TPU_BACKEND_TYPE": "jax",
        "VLLM_XLA_CACHE_PATH": tpu.COMPILE_CACHE,
        **(several if option.hosts > 1 else {}),
    }
