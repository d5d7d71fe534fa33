"""The conversion's decisions, with a bucket in memory and no converter."""

import importlib.util
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FILE = Path(__file__).parents[3] / "docker" / "jetstream-maxtext" / "convert_checkpoint.py"
ARGUMENTS = {
    "--model-name": "mixtral-8x7b",
    "--repository": "mistralai/Mixtral-8x7B-Instruct-v0.1",
    "--revision": "41bd4c9e7e4fb318ca40e721131d4933966c2cc1",
    "--destination": "gs://weights/jetstream/mixtral-8x7b",
}


def _load() -> ModuleType:
    """The program isn't part of the package: it runs in another image."""
    spec = importlib.util.spec_from_file_location("convert_checkpoint", FILE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


program = _load()


class Memory:
    """A bucket in memory, and everything that happened, in order."""

    def __init__(self, **objects: str) -> None:
        self.objects = dict(objects)
        self.happened: list[str] = []

    def read(self, name: str) -> str | None:
        return self.objects.get(name)

    def write(self, name: str, text: str) -> None:
        self.happened.append(f"write {name}")
        self.objects[name] = text

    def delete_below(self, name: str) -> None:
        self.happened.append(f"delete {name}")
        self.objects = {key: text for key, text in self.objects.items() if not key.startswith(f"{name}/")}

    def has_any(self, name: str) -> bool:
        return any(key.startswith(f"{name}/") for key in self.objects)

    def download(self, request: Any, directory: Path) -> None:
        self.directory = directory
        (directory / "model.safetensors").write_text(request.repository)
        self.happened.append("download")

    def run(self, words: Sequence[str], environment: Mapping[str, str]) -> int:
        """What a converter that works does."""
        assert environment["JAX_PLATFORMS"] == "cpu"
        assert "HF_TOKEN" not in environment
        assert all(isinstance(word, str) for word in words)
        self.happened.append(f"run {words[2]}")
        self.objects[f"{program.ITEMS}/weights"] = "converted"
        return 0

    def fail(self, words: Sequence[str], _environment: Mapping[str, str]) -> int:
        self.happened.append(f"run {words[2]}")
        self.objects[f"{program.UNSCANNED}/half"] = "half"
        return -9


def _request(**changes: str) -> Any:
    words = {**ARGUMENTS, **{f"--{name.replace('_', '-')}": value for name, value in changes.items()}}
    return program.read_arguments([word for pair in words.items() for word in pair])


def test_a_mixture_is_converted_in_one_step_and_the_marker_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    bucket = Memory()
    program.convert(_request(), bucket, bucket.download, bucket.run)
    assert bucket.happened == [
        "write conversion-begun.json",
        "download",
        "run maxtext.checkpoint_conversion.to_maxtext",
        "write conversion.json",
        "delete scanned_ckpt",
    ]
    assert json.loads(bucket.objects["conversion.json"])["items"] == "unscanned_ckpt/checkpoints/0/items"
    assert "secret" not in json.dumps(bucket.objects)
    assert not bucket.directory.exists()


def test_a_dense_model_takes_two_steps_of_which_the_second_reads_what_the_first_wrote() -> None:
    first, second = program.plan_steps("mistral-7b", Path("/weights"), "gs://b/p")
    assert "--maxtext-model-path=gs://b/p/scanned_ckpt" in first
    assert "--base-model-path=/weights" in first
    assert "load_parameters_path=gs://b/p/scanned_ckpt/0/items" in second
    assert {"base_output_directory=gs://b/p", "run_name=unscanned_ckpt", "force_unroll=true"} <= set(second)


def test_a_finished_conversion_is_not_done_again() -> None:
    bucket = Memory()
    program.convert(_request(), bucket, bucket.download, bucket.run)
    bucket.happened.clear()
    program.convert(_request(), bucket, bucket.download, bucket.run)
    assert bucket.happened == []


@pytest.mark.parametrize("marker", ["not JSON", '{"modelName": "mistral-7b"}'])
def test_another_models_conversion_is_never_taken_for_this_one(marker: str) -> None:
    bucket = Memory(**{"conversion.json": marker})
    with pytest.raises(program.ConversionError, match="choose another prefix"):
        program.convert(_request(), bucket, bucket.download, bucket.run)
    assert bucket.happened == []


def test_an_interrupted_conversion_is_begun_anew() -> None:
    bucket = Memory()
    with pytest.raises(program.ConversionError, match=r"ended with -9; it was killed"):
        program.convert(_request(), bucket, bucket.download, bucket.fail)
    assert not bucket.directory.exists()
    assert "conversion.json" not in bucket.objects
    program.convert(_request(), bucket, bucket.download, bucket.run)
    assert "delete unscanned_ckpt" in bucket.happened
    assert "unscanned_ckpt/half" not in bucket.objects
    assert "conversion.json" in bucket.objects


def test_what_somebody_else_put_there_is_left_alone() -> None:
    bucket = Memory(**{"unscanned_ckpt/by-hand": "precious"})
    with pytest.raises(program.ConversionError, match="didn't begin it"):
        program.convert(_request(), bucket, bucket.download, bucket.run)
    assert bucket.objects == {"unscanned_ckpt/by-hand": "precious"}


def test_a_converter_that_leaves_nothing_has_failed() -> None:
    bucket = Memory()
    with pytest.raises(program.ConversionError, match="left nothing"):
        program.convert(_request(), bucket, bucket.download, lambda *_: 0)
    assert "conversion.json" not in bucket.objects


def test_the_second_step_is_not_run_after_a_first_that_failed() -> None:
    bucket = Memory()
    with pytest.raises(program.ConversionError):
        program.convert(_request(model_name="mistral-7b"), bucket, bucket.download, bucket.fail)
    assert len([what for what in bucket.happened if what.startswith("run")]) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model_name", "mistral-small"),
        ("repository", "mistralai"),
        ("repository", "mistralai/a b"),
        ("revision", "--main"),
        ("revision", "a;b"),
        ("destination", "/local/path"),
        ("destination", "gs://bucket"),
        ("destination", "gs://bucket/../other"),
        ("destination", "gs://bucket/a b"),
    ],
)
def test_wrong_arguments_are_refused(name: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        _request(**{name: value})
    assert ended.value.code == 2
    assert f"--{name.replace('_', '-')}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "last"),
    [(None, "finished: gs://"), (RuntimeError("401\nno access"), "FAILED: RuntimeError: 401 no access")],
)
def test_the_last_line_says_what_happened(
    error: Exception | None, last: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    bucket = Memory()

    def download(request: Any, directory: Path) -> None:
        if error:
            raise error
        bucket.download(request, directory)

    monkeypatch.setattr(program, "Bucket", lambda _: bucket)
    monkeypatch.setattr(program, "download_weights", download)
    monkeypatch.setattr(program, "run_program", bucket.run)
    code = program.main([word for pair in ARGUMENTS.items() for word in pair])
    said = capfd.readouterr()
    assert (code, (said.err if error else said.out).splitlines()[-1][: len(last)]) == (1 if error else 0, last)


def test_programs_run_without_a_shell(capfd: pytest.CaptureFixture[str]) -> None:
    code = program.run_program([sys.executable, "-c", "import sys; print(sys.argv[1]); sys.exit(3)", "$(id); *"], {})
    assert (code, capfd.readouterr().out) == (3, "$(id); *\n")
