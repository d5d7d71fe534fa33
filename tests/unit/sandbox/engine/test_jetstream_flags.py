"""JetStream's command lines are as strict as their programs."""

import shlex
from collections.abc import Sequence

import pytest

from mistral_operator.sandbox.engine.jetstream_flags import CommandLineError, parse_maxtext, parse_pytorch
from mistral_operator.sandbox.engine.jetstream_settings import read_settings

BASE = "/opt/maxtext/src/maxtext/configs/base.yml"
MIXTRAL = "mistralai/Mixtral-8x7B-Instruct-v0.1"
MAXTEXT = shlex.split(
    "model_name=mixtral-8x7b tokenizer_path=assets/tokenizers/tokenizer.mistral-v1 load_parameters_path=gs://b/items "
    "max_prefill_predict_length=1024 max_target_length=2048 per_device_batch_size=4 scan_layers=false "
    "weight_dtype=bfloat16 ici_fsdp_parallelism=1 ici_autoregressive_parallelism=1 ici_tensor_parallelism=-1 "
    "attention=dot_product async_checkpointing=false prometheus_port=9100 quantization=int8 quantize_kvcache=True "
    "checkpoint_is_quantized=True enable_model_warmup=true megablox=false sparse_matmul=False capacity_factor=1 "
    "model_call_mode=inference compute_axis_order=0,2,1,3 ar_cache_axis_order=0,2,1,3"
)


def test_a_command_line_of_maxtext() -> None:
    settings = read_settings(["maxtext", BASE, *MAXTEXT], {"STAND_IN_DEVICES": "8", "STAND_IN_HOST": "127.64.0.1"})
    assert (settings.program, settings.model, settings.vocabulary) == ("MaxText", "mixtral-8x7b", "v1")
    assert (settings.host, settings.port, settings.prometheus_port) == ("127.64.0.1", 9000, 9100)
    assert (settings.max_prefill_tokens, settings.max_total_tokens) == (1024, 2048)
    assert settings.slots == 32


def test_a_command_line_of_jpt() -> None:
    words = [
        "--model_id",
        MIXTRAL,
        "--override_batch_size=64",
        "--max_input_length",
        "512",
        "-max_output_length",
        "256",
    ]
    words += ["--quantize_weights", "--noquantize_kv_cache", "--enable_model_warmup=true", "--prometheus_port", "9100"]
    settings = read_settings(["jpt", "serve", *words], {})
    assert (settings.model, settings.slots, settings.port, settings.prometheus_port) == (MIXTRAL, 64, 9000, 9100)
    assert (settings.max_prefill_tokens, settings.max_total_tokens) == (512, 768)
    flags = parse_pytorch(words)
    assert (flags["quantize_weights"], flags["quantize_kv_cache"], flags["enable_model_warmup"]) == (True, False, True)


@pytest.mark.parametrize(
    ("words", "vocabulary"),
    [
        (["model_name=mistral-7b"], "v1"),
        (["model_name=mixtral-8x22b"], "v3"),
        (["model_name=mistral-7b", "tokenizer_path=assets/tokenizers/tokenizer.mistral-v3"], "v3"),
    ],
)
def test_which_tokenizer_an_answer_is_of(words: Sequence[str], vocabulary: str) -> None:
    assert read_settings(["maxtext", BASE, *words], {}).vocabulary == vocabulary


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["maxtext"], "the path of base.yml"),
        (["maxtext", "model_name=mistral-7b"], "the path of base.yml"),
        (["maxtext", BASE, "foo=1"], "Key foo was passed at the command line but isn't in config."),
        (["maxtext", BASE, "--model_name", "x"], "Key --model_name was passed"),
        (["maxtext", BASE, "max_target_length=long"], "Couldn't parse value from CLI or ENV 'long'"),
        (["maxtext", BASE, "scan_layers=1"], "Couldn't parse value from CLI or ENV '1' for key 'scan_layers'"),
        (["maxtext", BASE, "max_target_length=[1"], "Couldn't parse value"),
        (["maxtext", BASE, "model_name=llama2-7b"], "the stand-in knows mistral-7b, mixtral-8x7b, mixtral-8x22b"),
        (["maxtext", BASE, "model_name=mistral-7b", "max_prefill_predict_length=1000"], "1000 is not in list"),
        (["maxtext", BASE, "model_name=mistral-7b", "max_target_length=64"], "max_target_length above"),
        (["maxtext", BASE, "model_name=mistral-7b", "enable_prefix_caching=true"], "requires chunked prefill"),
        (["maxtext", BASE, "model_name=mistral-7b", "per_device_batch_size=0.5"], "0 slots"),
        (["jpt"], "please specify 'list' or 'serve'"),
        (["jpt", "serve"], "Please specify model_id with --model_id"),
        (["jpt", "serve", "--model", MIXTRAL], "Unknown command line flag 'model'"),
        (["jpt", "serve", "--port", "many"], "flag --port=many: invalid literal for int()"),
        (["jpt", "serve", "--port"], "Missing value for flag --port"),
        (["jpt", "serve", "--quantize_weights=maybe"], "flag --quantize_weights=maybe: ('Non-boolean argument"),
        (["jpt", "serve", "--noport"], "Unknown command line flag 'noport'"),
        (
            ["jpt", "serve", "--model_id", "google/gemma-2b"],
            f"the stand-in knows mistralai/Mixtral-8x7B-v0.1, {MIXTRAL}",
        ),
        (["jpt", "serve", "--model_id", MIXTRAL, "--max_input_length", "1000"], "1000 is not in list"),
    ],
)
def test_refused(words: Sequence[str], message: str) -> None:
    with pytest.raises(CommandLineError) as refused:
        read_settings(words, {})
    assert message in str(refused.value)


def test_values_keep_their_kinds() -> None:
    values = parse_maxtext([BASE, "capacity_factor=1", "compute_axis_order=0,2,1,3", "quantization="])
    assert values["capacity_factor"] == 1
    assert values["compute_axis_order"] == "0,2,1,3"
    assert values["quantization"] == ""
