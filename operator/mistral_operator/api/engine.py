"""`spec.engine`: what runs the model, and how."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from mistral_operator.api.common import (
    LIST_MAP_BY_NAME,
    ApiType,
    Count,
    Identifier,
    ImageReference,
    Repository,
    Rule,
    SecretKeyRef,
)

RESERVED_ENV: Final = (
    "BASH_ENV",
    "CUDA_VISIBLE_DEVICES",
    "ENV",
    "HF_HOME",
    "HF_TOKEN",
    "HOME",
    "HUGGING_FACE_HUB_TOKEN",
    "JAX_COMPILATION_CACHE_DIR",
    "JAX_PLATFORMS",
    "LWS_GROUP_SIZE",
    "LWS_LEADER_ADDRESS",
    "LWS_WORKER_INDEX",
    "MODEL_IMPL_TYPE",
    "NEW_MODEL_DESIGN",
    "NVIDIA_VISIBLE_DEVICES",
    "PJRT_DEVICE",
    "TMPDIR",
    "TPU_BACKEND_TYPE",
    "TPU_MULTIHOST_BACKEND",
    "TPU_NAME",
    "TPU_WORKER_HOSTNAMES",
    "TPU_WORKER_ID",
    "VLLM_ALLOW_INSECURE_SERIALIZATION",
    "VLLM_API_KEY",
    "VLLM_CACHE_ROOT",
    "VLLM_ENGINE_READY_TIMEOUT_S",
    "VLLM_HOST_IP",
    "VLLM_NO_USAGE_STATS",
    "VLLM_PORT",
    "VLLM_SERVER_DEV_MODE",
    "VLLM_XLA_CACHE_PATH",
)
"""Environment variables that belong to the operator: it sets them, or must be sure that they are not set.

`BASH_ENV` and `ENV` name a file that a shell runs when it starts, and the hosts of a slice are started by one.
"""


class EngineType(StrEnum):
    """The serving engine."""

    AUTO = "Auto"
    VLLM = "VLLM"
    JETSTREAM_MAXTEXT = "JetStreamMaxText"
    JETSTREAM_PYTORCH = "JetStreamPyTorch"


class Precision(StrEnum):
    """Number format of the weights on the device."""

    AUTO = "Auto"
    BF16 = "BF16"
    FP16 = "FP16"
    FP8 = "FP8"
    INT8 = "INT8"
    INT4 = "INT4"
    NVFP4 = "NVFP4"


class KvCachePrecision(StrEnum):
    """Number format of the KV cache. `Auto` keeps the engine's."""

    AUTO = "Auto"
    BF16 = "BF16"
    FP8 = "FP8"


class Feature(StrEnum):
    """A feature of the endpoint that the model may or may not have."""

    AUTO = "Auto"
    ENABLED = "Enabled"
    DISABLED = "Disabled"


class SpeculativeMethod(StrEnum):
    """How tokens are guessed ahead."""

    NGRAM = "NGram"
    DRAFT_MODEL = "DraftModel"
    EAGLE = "Eagle"
    MTP = "MTP"


class EnvSource(ApiType):
    """Where an environment variable's value comes from."""

    secret_key_ref: SecretKeyRef = Field(description="A key of a Secret in the model's namespace.")


class EnvVar(ApiType):
    """One environment variable of the engine's container."""

    rules = (
        Rule(
            "has(self.value) != has(self.valueFrom)",
            "an environment variable has exactly one of value and valueFrom; remove one of them,"
            ' or write value: "" for an empty one',
            lambda env: (env.value is None) != (env.value_from is None),
        ),
        Rule(
            f"!(self.name in {list(RESERVED_ENV)})",
            "this environment variable is reserved for the operator; remove it: a Hugging Face token belongs in"
            " spec.weights.huggingFace.tokenSecretRef, an API key in spec.endpoint.apiKeySecretRef",
            lambda env: env.name not in RESERVED_ENV,
        ),
    )

    name: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = Field(
        description="Name of the variable, such as `VLLM_LOGGING_LEVEL`. Those that the operator sets are refused."
    )
    value: Annotated[str, Field(max_length=4096)] | None = Field(None, description="The value, taken literally.")
    value_from: EnvSource | None = Field(None, description="Where the value comes from, instead of `value`.")


class Adapter(ApiType):
    """A LoRA adapter that is served beside the model, under its own name."""

    name: Identifier = Field(description="Name under which requests ask for the adapter.")
    repository: Repository = Field(description="Hugging Face repository of the adapter.")
    revision: Identifier | None = Field(None, description="Commit or tag of the repository.")
    token_secret_ref: SecretKeyRef | None = Field(None, description="Token for a private repository.")


class Speculative(ApiType):
    """Speculative decoding: tokens are guessed ahead and checked by the model."""

    rules = (
        Rule(
            "self.method == 'NGram' || self.method == 'MTP' || has(self.draftModel)",
            "methods DraftModel and Eagle need draftModel; write draftModel: <Hugging Face repository>",
            lambda spec: (
                spec.method in (SpeculativeMethod.NGRAM, SpeculativeMethod.MTP) or spec.draft_model is not None
            ),
        ),
    )

    method: SpeculativeMethod = Field(description="How tokens are guessed ahead.")
    draft_model: Repository | None = Field(None, description="Hugging Face repository of the draft model.")
    tokens: Annotated[Count, Field(ge=1, le=32)] | None = Field(None, description="Tokens guessed at each step.")


class Engine(ApiType):
    """What runs the model. All of it is chosen by the planner when left out, and then stated in `status.plan`."""

    type: EngineType | None = Field(
        None, description="The engine. `Auto` takes the best-evidenced one for the hardware."
    )
    version: Identifier | None = Field(None, description="Version of the engine, such as `0.33.0`.")
    image: ImageReference | None = Field(
        None, description="Container image of the engine, instead of the catalogue's; best pinned by digest."
    )
    context_length: Annotated[Count, Field(ge=256, le=10_485_760)] | None = Field(
        None, description="Tokens of prompt and answer together that one request may use."
    )
    precision: Precision | None = Field(
        None,
        description="Number format of the weights on the device. `Auto` keeps the published one where it fits.",
    )
    kv_cache_precision: KvCachePrecision | None = Field(
        None, description="Number format of the KV cache. `Auto` keeps the engine's."
    )
    max_concurrency: Annotated[Count, Field(ge=1, le=4096)] | None = Field(
        None, description="Sequences that one replica works on at once; further requests wait in its queue."
    )
    adapters: Annotated[tuple[Adapter, ...], Field(max_length=64, json_schema_extra=LIST_MAP_BY_NAME)] = Field(
        (), description="LoRA adapters that are served beside the model."
    )
    speculative: Speculative | None = Field(None, description="Speculative decoding. Off when left out.")
    tool_calling: Feature | None = Field(
        None, description="Parsing of tool calls. `Auto` enables it for models that were trained for it."
    )
    reasoning: Feature | None = Field(
        None,
        description="Parsing of the model's reasoning. `Auto` enables it for models that were trained for it.",
    )
    extra_args: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=1024)], ...],
        Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
    ] = Field(
        (),
        description="Arguments appended to the engine's command, one word each; the operator's own are refused.",
    )
    env: Annotated[tuple[EnvVar, ...], Field(max_length=64, json_schema_extra=LIST_MAP_BY_NAME)] = Field(
        (), description="Environment variables of the engine's container."
    )
