"""The command line is as strict as vLLM's, and knows the flags of its sources."""

from collections.abc import Sequence

import pytest

from mistral_operator.sandbox.engine.flags import flag_list, parse_serve
from mistral_operator.sandbox.engine.settings import ConfigurationError, read_settings


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--max-model-len", "8192"], "max_model_len", 8192),
        (["--max-model-len=8k"], "max_model_len", 8000),
        (["--max-model-len", "8K"], "max_model_len", 8192),
        (["--max-model-len", "auto"], "max_model_len", -1),
        (["--max-model-len", "-1"], "max_model_len", -1),
        (["--max_num_batched_tokens", "2K"], "max_num_batched_tokens", 2048),
        (["-tp", "4"], "tensor_parallel_size", 4),
        (["--enforce-eager"], "enforce_eager", True),
        (["--no-enable-prefix-caching"], "enable_prefix_caching", False),
        (["-O3"], "optimization_level", "3"),
        (["--served-model-name", "a", "b"], "served_model_name", ["a", "b"]),
        (["--limit-mm-per-prompt", '{"image": 4}'], "limit_mm_per_prompt", {"image": 4}),
        (["--speculative-config.method", "ngram"], "speculative_config", {"method": "ngram"}),
        (["--kv-transfer-config", '{"kv_role": "kv_both"}'], "kv_transfer_config", {"kv_role": "kv_both"}),
        (["--shutdown-timeout", "30"], "shutdown_timeout", 30),
        (["--gpu-memory-utilization", "0.92"], "gpu_memory_utilization", 0.92),
    ],
)
def test_accepted(words: Sequence[str], name: str, value: object) -> None:
    assert getattr(parse_serve(["serve", "mistralai/Chat", *words]), name) == value


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--foo"], "vllm: error: unrecognized arguments: --foo"),
        (["--foo", "3", "--bar=4"], "vllm: error: unrecognized arguments: --foo 3 --bar=4"),
        (["--max-model", "8"], "unrecognized arguments: --max-model 8"),
        (["--swap-space", "4"], "unrecognized arguments: --swap-space 4"),
        (["--task", "generate"], "unrecognized arguments: --task generate"),
        (["--tensor-parallel-size", "two"], "argument --tensor-parallel-size/-tp: invalid int value: 'two'"),
        (["--gpu-memory-utilization", "high"], "invalid float value: 'high'"),
        (["--max-model-len", "8q"], "invalid human_int_or_auto value: '8q'"),
        (["--max-model-len", "1.5K"], "Decimals are not allowed with binary suffixes like K"),
        (["--dtype", "int3"], "argument --dtype: invalid choice: 'int3'"),
        (["--max-lora-rank", "17"], "argument --max-lora-rank: invalid choice: 17"),
        (["--limit-mm-per-prompt", "image=4"], "invalid json value: 'image=4'"),
        (["--port"], "argument --port: expected one argument"),
        (["extra"], "unrecognized arguments: extra"),
    ],
)
def test_refused(words: Sequence[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        parse_serve(["serve", "mistralai/Chat", *words])
    assert refused.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--kv-cache-dtype", "fp9"], "Invalid kv_cache_dtype"),
        (["--enable-auto-tool-choice"], "requires --tool-call-parser"),
        (["--gpu-memory-utilization", "1.2"], "gpu_memory_utilization"),
        (["--max-num-seqs", "512", "--max-num-batched-tokens", "256"], "greater than or equal to"),
        (["--lora-modules", "{broken"], "--lora-modules"),
    ],
)
def test_parsed_and_then_refused(words: Sequence[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        read_settings(parse_serve(["serve", "mistralai/Chat", *words]), {})


def test_settings_come_from_flags_and_environment() -> None:
    words = ["serve", "m", "--host", "0.0.0.0", "--port", "9000", "--max-num-seqs", "8", "--lora-modules", "law=/l"]
    environment = {"STAND_IN_HOST": "127.64.0.1", "STAND_IN_SPEED": "20", "VLLM_API_KEY": "secret"}
    settings = read_settings(parse_serve(words), environment)
    assert (settings.host, settings.port, settings.speed) == ("127.64.0.1", 9000, 20)
    assert settings.api_keys == {"secret"}
    assert settings.adapters[0].name == "law"
    assert settings.served_names == ("m",)


def test_the_list_is_whole() -> None:
    flags = flag_list()["flags"]
    assert len(flags) > 250
    assert {"--tensor-parallel-size", "--max-num-queued-reqs", "--kv-cache-dtype", "--shutdown-timeout"} <= set(flags)
    kinds = {flag["kind"] for flag in flags.values()}
    assert kinds == {"bool", "switch", "int", "float", "str", "json", "json_or_str", "human_int", "human_int_or_auto"}
