"""JetStream with PyTorch/XLA: it downloads and converts the repository's weights by itself."""

from typing import Final

from mistral_operator.api.model import MistralModelSpec
from mistral_operator.engines import jetstream, tpu
from mistral_operator.engines.protocol import CACHE_DIRECTORY, Conversion, EngineLaunch
from mistral_operator.planning.types import Plan, PlannedOption

_OWN_FLAGS: Final = frozenset({
    "--model-id", "--override-batch-size", "--max-input-length", "--max-output-length", "--port", "--prometheus-port",
    "--working-dir", "--hf-token", "--internal-jax-compilation-cache-dir", "--sampling-algorithm", "--quantize-weights",
    "--quantize-type", "--quantize-kv-cache",
})  # fmt: skip


class JetStreamPyTorch:
    """The engine `jetstream-pytorch`."""

    id = "jetstream-pytorch"
    container = jetstream.CONTAINER
    queue_metric = jetstream.QUEUE_METRIC
    owned_flags = _OWN_FLAGS
    owned_env = jetstream.OWN_ENV

    def launch(self, spec: MistralModelSpec, plan: Plan, option: PlannedOption) -> EngineLaunch:
        """Say how to run one replica of `plan` as `option`."""
        return jetstream.launch(
            spec,
            plan,
            option,
            command=("jpt", "serve"),
            args=_arguments(spec, plan, option),
            env={"HF_HOME": f"{CACHE_DIRECTORY}/huggingface"},
        )

    def convert(self, plan: Plan, option: PlannedOption) -> Conversion | None:
        """The server converts the published files itself when it starts."""
        return None


def _arguments(spec: MistralModelSpec, plan: Plan, option: PlannedOption) -> tuple[str, ...]:
    prompt = option.max_prompt_tokens
    return (
        *("--model_id", plan.repository),
        *("--override_batch_size", str(option.max_concurrency)),
        *("--max_input_length", str(prompt)),
        *("--max_output_length", str(option.context_length - prompt)),
        *("--port", str(jetstream.GRPC_PORT)),
        *("--prometheus_port", str(jetstream.METRICS_PORT)),
        *("--sampling_algorithm", "greedy"),
        *("--working_dir", f"{CACHE_DIRECTORY}/checkpoints"),
        *("--internal_jax_compilation_cache_dir", tpu.COMPILE_CACHE),
        "--enable_model_warmup",
        *(spec.engine.extra_args if spec.engine else ()),
    )
