"""What the stand-in of JetStream needs to know of either command line and of the environment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .jetstream_flags import CommandLineError, Values, flag_lists, parse_maxtext, parse_pytorch

Vocabulary = Literal["v1", "v3"]

# MaxText has no flag for it.
MAXTEXT_PORT = 9000
DEFAULT_LOAD_S = 60.0
DEFAULT_TOKENS_PER_S = 40.0


@dataclass(frozen=True, slots=True)
class JetStreamSettings:
    """One stand-in. Times are simulated seconds: real time is the time divided by `speed`."""

    program: str
    model: str
    vocabulary: Vocabulary
    """Of Mistral's tokenizers, which the answer's token ids are of."""
    host: str
    port: int
    prometheus_port: int
    """0: no metrics."""
    max_prefill_tokens: int
    max_total_tokens: int
    slots: int
    speed: float
    load_s: float
    tokens_per_s: float
    """Of each slot."""
    crash: str
    """`oom`: end with the text of a TPU that is out of memory while loading; empty: don't."""
    dead_after_s: float | None
    """Serve so long, then say in health checks that the engine isn't live; None: never."""


def read_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> JetStreamSettings:
    """`maxtext BASE.YML key=value …` or `jpt serve --flag value …`. Raises CommandLineError."""
    program, *rest = arguments
    if program == "maxtext":
        return _read_maxtext(parse_maxtext(rest), environment)
    if rest[:1] != ["serve"]:
        raise CommandLineError("Invalid arguments. please specify 'list' or 'serve'")
    return _read_pytorch(parse_pytorch(rest[1:]), environment)


def _read_maxtext(values: Values, environment: Mapping[str, str]) -> JetStreamSettings:
    model = _known_model(values["model_name"], "maxtext")
    # MaxText counts the devices itself.
    devices = int(environment.get("STAND_IN_DEVICES") or 1)
    later = model == "mixtral-8x22b" or values["tokenizer_path"].endswith("v3")
    if values["max_target_length"] <= values["max_prefill_predict_length"]:
        raise CommandLineError("ValueError: the stand-in needs max_target_length above max_prefill_predict_length")
    if values["enable_prefix_caching"] and not values["use_chunked_prefill"]:
        raise CommandLineError("ValueError: Prefix caching requires chunked prefill.")
    return _settings(
        environment,
        program="MaxText",
        model=model,
        vocabulary="v3" if later else "v1",
        port=MAXTEXT_PORT,
        prometheus_port=values["prometheus_port"],
        max_prefill_tokens=values["max_prefill_predict_length"],
        max_total_tokens=values["max_target_length"],
        slots=int(values["per_device_batch_size"] * devices),
    )


def _read_pytorch(values: Values, environment: Mapping[str, str]) -> JetStreamSettings:
    if not values["model_id"]:
        models = "\n".join(flag_lists()["pytorch"]["models"])
        raise CommandLineError(f"Please specify model_id with --model_id\nvalid model ids are:\n{models}")
    return _settings(
        environment,
        program="JetStream PyTorch",
        model=_known_model(values["model_id"], "pytorch"),
        vocabulary="v1",
        port=values["port"],
        prometheus_port=values["prometheus_port"],
        max_prefill_tokens=values["max_input_length"],
        max_total_tokens=values["max_input_length"] + values["max_output_length"],
        slots=values["override_batch_size"],
    )


def _settings(
    environment: Mapping[str, str],
    *,
    program: str,
    model: str,
    vocabulary: Vocabulary,
    port: int,
    prometheus_port: int,
    max_prefill_tokens: int,
    max_total_tokens: int,
    slots: int,
) -> JetStreamSettings:
    lengths = flag_lists()["prefill_lengths"]
    if max_prefill_tokens not in lengths:
        # Upstream fails so at the first request, or in its warm-up.
        raise CommandLineError(f"ValueError: {max_prefill_tokens} is not in list (prefill lengths: {lengths})")
    if slots < 1:
        raise CommandLineError(f"ValueError: the batch has {slots} slots")
    return JetStreamSettings(
        program=program,
        model=model,
        vocabulary=vocabulary,
        host=environment.get("STAND_IN_HOST") or "127.0.0.1",
        port=port,
        prometheus_port=prometheus_port,
        max_prefill_tokens=max_prefill_tokens,
        max_total_tokens=max_total_tokens,
        slots=slots,
        speed=float(environment.get("STAND_IN_SPEED") or 1),
        load_s=float(environment.get("STAND_IN_LOAD_SECONDS") or DEFAULT_LOAD_S),
        tokens_per_s=float(environment.get("STAND_IN_TOKENS_PER_SECOND") or DEFAULT_TOKENS_PER_S),
        crash=environment.get("STAND_IN_CRASH", ""),
        dead_after_s=float(text) if (text := environment.get("STAND_IN_DEAD_AFTER_SECONDS")) else None,
    )


def _known_model(name: str, engine: str) -> str:
    models = flag_lists()[engine]["models"]
    if name not in models:
        raise CommandLineError(f"ValueError: model {name!r}: the stand-in knows {', '.join(models)}")
    return name
