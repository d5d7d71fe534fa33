"""The flag list follows from vLLM's configuration classes; here from a small tree of the same make."""

from pathlib import Path

from mistral_operator.sandbox.engine.extract_flags import extract

CONFIG = """
Mode = Literal["auto", "fast"]

@config
class ModelConfig:
    model: str = "m"
    mode: Mode = "auto"
    open_mode: Mode | str = "auto"
    max_model_len: int | None = None
    eager: bool = False
    ranks: list[int] | None = None
    overrides: dict[str, Any] = None
    nested: "OtherConfig" = None
    share: float = Field(default=0.9, gt=0)

@config
class OtherConfig:
    x: int = 1
"""
ARGUMENTS = """
class EngineArgs:
    def add_cli_args(parser):
        model_kwargs = get_kwargs(ModelConfig)
        group = parser.add_argument_group(title="ModelConfig")
        group.add_argument("--model", **model_kwargs["model"])
        group.add_argument("--mode", "-m", **model_kwargs["mode"])
        group.add_argument("--open-mode", **model_kwargs["open_mode"])
        group.add_argument("--max-model-len", **{**model_kwargs["max_model_len"], "default": None})
        group.add_argument("--eager", **model_kwargs["eager"])
        group.add_argument("--ranks", **model_kwargs["ranks"])
        group.add_argument("--overrides", **model_kwargs["overrides"])
        group.add_argument("--nested", **model_kwargs["nested"])
        group.add_argument("--share", **model_kwargs["share"])
        parser.add_argument("--quiet", action="store_true")
        parser.add_argument("--backend", choices=["a", "b"], default=None)
"""
FRONTEND = """
@config
class FrontendArgs:
    port: int = 8000

def make_arg_parser(parser):
    parser.add_argument("--headless", action="store_true")
"""


def test_kinds_choices_and_aliases(tmp_path: Path) -> None:
    for name, text in {
        "vllm/config/model.py": CONFIG,
        "vllm/engine/arg_utils.py": ARGUMENTS,
        "vllm/entrypoints/common/cli_args.py": FRONTEND,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    flags = extract(tmp_path)
    assert flags["--mode"] == {"kind": "str", "choices": ["auto", "fast"], "aliases": ["-m"]}
    assert flags["--open-mode"] == {"kind": "str", "known": ["auto", "fast"]}
    assert flags["--max-model-len"] == {"kind": "human_int_or_auto", "optional": True}
    assert flags["--eager"] == {"kind": "bool"}
    assert flags["--ranks"] == {"kind": "int", "nargs": "+", "optional": True}
    assert flags["--overrides"] == flags["--nested"] == {"kind": "json"}
    assert flags["--share"] == {"kind": "float"}
    assert flags["--quiet"] == flags["--headless"] == {"kind": "switch"}
    assert flags["--backend"] == {"kind": "str", "choices": ["a", "b"]}
    assert flags["--port"] == {"kind": "int"}
