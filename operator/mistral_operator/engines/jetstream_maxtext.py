"""JetStream with MaxText: it serves a checkpoint of its own format, which a Job makes of the published weights."""

from decimal import Decimal
from typing import Final

from mistral_operator.api.model import MistralModelSpec
from mistral_operator.engines import jetstream, tpu
from mistral_operator.engines.protocol import CACHE_DIRECTORY, CONVERTER, ContainerLaunch, Conversion, EngineLaunch
from mistral_operator.planning.types import Plan, PlannedOption

# Where docker/jetstream-maxtext.Dockerfile puts them.
_CONFIGURATION: Final = "/opt/maxtext/src/maxtext/configs/base.yml"
_TOKENIZERS: Final = "/opt/maxtext/src/maxtext/assets/tokenizers"
_CONVERTER: Final = "/opt/mistral-operator/convert_checkpoint.py"
_CONVERTED: Final = "unscanned_ckpt/checkpoints/0/items"
"""Where below its destination the converter leaves the checkpoint that is served."""

_OWN_KEYS: Final = frozenset({
    "model_name", "tokenizer_path", "load_parameters_path", "max_prefill_predict_length", "max_target_length",
    "per_device_batch_size", "scan_layers", "weight_dtype", "ici_fsdp_parallelism", "ici_autoregressive_parallelism",
    "ici_tensor_parallelism", "async_checkpointing", "prometheus_port", "quantization", "checkpoint_is_quantized",
    "decode_sampling_strategy", "jax_cache_dir",
})  # fmt: skip


class JetStreamMaxText:
    """The engine `jetstream-maxtext`."""

    id = "jetstream-maxtext"
    container = jetstream.CONTAINER
    queue_metric = jetstream.QUEUE_METRIC
    owned_flags = _OWN_KEYS
    owned_env = jetstream.OWN_ENV

    def launch(self, spec: MistralModelSpec, plan: Plan, option: PlannedOption) -> EngineLaunch:
        """Say how to run one replica of `plan` as `option`."""
        return jetstream.launch(
            spec,
            plan,
            option,
            command=("python3", "-m", "maxtext.inference.maxengine.maxengine_server"),
            args=(_CONFIGURATION, *_settings(spec, plan, option)),
            env={},
        )

    def convert(self, plan: Plan, option: PlannedOption) -> Conversion | None:
        """The Job that puts the checkpoint into the bucket, unless the user says that it is there."""
        if not plan.converts:
            return None
        container = ContainerLaunch(
            name=CONVERTER,
            image=option.image,
            command=("python3", _CONVERTER),
            args=(
                *("--model-name", plan.engine_model),
                *("--repository", plan.repository),
                *("--revision", plan.revision or "main"),
                *("--destination", plan.checkpoint_uri),
            ),
            # The download takes as much room as the weights.
            env={"HF_HOME": f"{CACHE_DIRECTORY}/huggingface", "HOME": CACHE_DIRECTORY, "TMPDIR": CACHE_DIRECTORY},
        )
        return Conversion(
            container=container,
            run_as_user=jetstream.USER_ID,
            run_as_group=jetstream.GROUP_ID,
        )


def _settings(spec: MistralModelSpec, plan: Plan, option: PlannedOption) -> tuple[str, ...]:
    """`key=value` words, as MaxText reads its configuration."""
    checkpoint = f"{plan.checkpoint_uri}/{_CONVERTED}" if plan.converts else plan.checkpoint_uri
    quantized = option.precision == "int8"
    return (
        f"model_name={plan.engine_model}",
        f"tokenizer_path={_TOKENIZERS}/tokenizer.mistral-{plan.tokenizer}",
        f"load_parameters_path={checkpoint}",
        f"max_prefill_predict_length={option.max_prompt_tokens}",
        f"max_target_length={option.context_length}",
        f"per_device_batch_size={_per_device(option)}",
        "scan_layers=False",
        "weight_dtype=bfloat16",
        "ici_fsdp_parallelism=1",
        "ici_autoregressive_parallelism=1",
        "ici_tensor_parallelism=-1",
        "async_checkpointing=False",
        *(("quantization=int8", "checkpoint_is_quantized=True") if quantized else ()),
        f"prometheus_port={jetstream.METRICS_PORT}",
        f"jax_cache_dir={tpu.COMPILE_CACHE}",
        *plan.engine_flags,
        *(spec.engine.extra_args if spec.engine else ()),
    )


def _per_device(option: PlannedOption) -> str:
    """Sequences for each chip; a fraction where they don't divide evenly."""
    return f"{(Decimal(option.max_concurrency) / option.devices).normalize():f}"
