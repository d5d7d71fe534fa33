"""What the stand-in needs to know of a command line and an environment."""

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .flags import flag_list

DEFAULT_MODEL = "Qwen/Qwen3-0.6B"
# The real values come from the model's configuration and the GPU's memory: the stand-in has neither.
DEFAULT_CONTEXT = 32_768
DEFAULT_SEQUENCES = 256
DEFAULT_LOAD_S = 60.0
DEFAULT_TOKENS_PER_S = 40.0


class ConfigurationError(Exception):
    """vLLM parses this command line and then refuses to start. The text is the error's, with its type in front."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter of --lora-modules."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """One stand-in engine. Times are simulated seconds: real time is the time divided by `speed`."""

    model: str
    served_names: tuple[str, ...]
    host: str
    port: int
    context_length: int
    max_sequences: int
    max_unfinished: int | None
    """--max-num-queued-reqs caps waiting and running requests together."""
    api_keys: frozenset[str]
    shutdown_timeout_s: float
    auto_tool_choice: bool
    force_usage: bool
    adapters: tuple[Adapter, ...]
    speed: float
    load_s: float
    tokens_per_s: float
    crash: str
    """`oom`: end with the text of a CUDA out-of-memory error while loading; empty: don't."""
    dead_after_s: float | None
    """Serve so long, then answer /health with 503, as vLLM does when its engine process has died; None: never."""


def read_settings(arguments: argparse.Namespace, environment: Mapping[str, str]) -> EngineSettings:
    """Raises ConfigurationError. STAND_IN_* variables steer what a real engine takes from its hardware."""
    refuse_what_vllm_refuses(arguments)
    model = arguments.model_tag or arguments.model or DEFAULT_MODEL
    names = tuple(arguments.served_model_name or ()) or (model,)
    keys = [key for key in [*(arguments.api_key or []), environment.get("VLLM_API_KEY", "")] if key]
    context = arguments.max_model_len
    return EngineSettings(
        model=model,
        served_names=names,
        host=environment.get("STAND_IN_HOST") or arguments.host or "127.0.0.1",
        port=arguments.port if arguments.port is not None else 8000,
        context_length=context if context and context > 0 else DEFAULT_CONTEXT,
        max_sequences=arguments.max_num_seqs or DEFAULT_SEQUENCES,
        max_unfinished=arguments.max_num_queued_reqs,
        api_keys=frozenset(keys),
        shutdown_timeout_s=float(arguments.shutdown_timeout or 0),
        auto_tool_choice=bool(arguments.enable_auto_tool_choice),
        force_usage=bool(arguments.enable_force_include_usage),
        adapters=tuple(_adapter(text) for text in arguments.lora_modules or ()),
        speed=float(environment.get("STAND_IN_SPEED") or 1),
        load_s=float(environment.get("STAND_IN_LOAD_SECONDS") or DEFAULT_LOAD_S),
        tokens_per_s=float(environment.get("STAND_IN_TOKENS_PER_SECOND") or DEFAULT_TOKENS_PER_S),
        crash=environment.get("STAND_IN_CRASH", ""),
        dead_after_s=float(text) if (text := environment.get("STAND_IN_DEAD_AFTER_SECONDS")) else None,
    )


def refuse_what_vllm_refuses(arguments: argparse.Namespace) -> None:
    """The checks between parsing and loading that need no model. Raises ConfigurationError."""
    if arguments.config:
        raise ConfigurationError("NotImplementedError: the stand-in reads no --config file: give the flags themselves")
    if arguments.enable_auto_tool_choice and not arguments.tool_call_parser:
        raise ConfigurationError("TypeError: Error: --enable-auto-tool-choice requires --tool-call-parser")
    if arguments.enable_log_outputs and not arguments.enable_log_requests:
        raise ConfigurationError("TypeError: Error: --enable-log-outputs requires --enable-log-requests")
    known = flag_list()["flags"]["--kv-cache-dtype"]["known"]
    if arguments.kv_cache_dtype is not None and arguments.kv_cache_dtype not in known:
        raise ConfigurationError(
            f"ValueError: Invalid kv_cache_dtype: {arguments.kv_cache_dtype!r}. Valid values are: {known}"
        )
    share = arguments.gpu_memory_utilization
    if share is not None and not 0 < share <= 1:
        raise ConfigurationError(f"ValueError: gpu_memory_utilization must be in (0, 1], got {share}")
    for name in ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "max_num_seqs"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise ConfigurationError(f"ValueError: {name} must be at least 1, got {value}")
    _refuse_batch(arguments.max_num_batched_tokens, arguments.max_num_seqs)


def _refuse_batch(batched_tokens: int | None, sequences: int | None) -> None:
    if batched_tokens is not None and sequences is not None and batched_tokens < sequences:
        raise ConfigurationError(
            f"ValueError: max_num_batched_tokens ({batched_tokens}) must be greater than or equal to "
            f"max_num_seqs ({sequences})."
        )


def _adapter(text: str) -> Adapter:
    if "=" in text and "," not in text:
        name, path = text.split("=", 1)
        return Adapter(name, path)
    try:
        value: dict[str, Any] = json.loads(text)
        return Adapter(str(value["name"]), str(value["path"]))
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ConfigurationError(f"Invalid fields for --lora-modules: {text} - {error}") from error
