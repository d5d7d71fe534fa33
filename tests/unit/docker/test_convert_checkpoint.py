"""The conversion's decisions, with a bucket in memory and no converter."""

import importlib.util
import json
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
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
    # As Python does for a program that is run by its path.
    sys.path.insert(0, str(FILE.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(FILE.parent))
    return module


program = _load()


class Memory:
    """A bucket in memory, and everything that happened, in order."""

    def __init__(self, **objects: str) -> None:
        self.objects = dict(objects)
        self.generations = dict.fromkeys(objects, 1)
        self.happened: list[str] = []
        self.answers_lost = 0

    def read(self, name: str) -> Any:
        return program.Stored(self.objects[name], self.generations[name]) if name in self.objects else None

    def write(self, name: str, text: str, generation: int) -> int:
        if generation != (self.generations[name] if name in self.objects else 0):
            raise program.ChangedError(name)
        self.happened.append(f"write {name}")
        self.objects[name] = text
        self.generations[name] = self.generations.get(name, 0) + 1
        if self.answers_lost:
            # The client asks again, and is told that the object has changed.
            self.answers_lost -= 1
            raise program.ChangedError(name)
        return self.generations[name]

    def delete_below(self, name: str) -> None:
        self.happened.append(f"delete {name}")
        self.objects = {key: text for key, text in self.objects.items() if not key.startswith(f"{name}/")}

    def has_any(self, name: str) -> bool:
        return any(key.startswith(f"{name}/") for key in self.objects)

    def download(self, request: Any, directory: Path) -> None:
        self.directory = directory
        (directory / "model.safetensors").write_text(request.repository)
        self.happened.append("download")

    def run(self, words: Sequence[str], environment: Mapping[str, str], check: Callable[[], None]) -> int:
        """What a converter that works does."""
        assert environment["JAX_PLATFORMS"] == "cpu"
        assert "HF_TOKEN" not in environment
        assert all(isinstance(word, str) for word in words)
        check()
        self.happened.append(f"run {words[2]}")
        self.objects[f"{program.ITEMS}/weights"] = "converted"
        return 0

    def fail(self, words: Sequence[str], _environment: Mapping[str, str], _check: Callable[[], None]) -> int:
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
        "write conversion-begun.json",
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
    words = [sys.executable, "-c", "import sys; print(sys.argv[1]); sys.exit(3)", "$(id); *"]
    assert (program.run_program(words, {}, lambda: None), capfd.readouterr().out) == (3, "$(id); *\n")


def test_a_step_is_stopped_when_another_run_may_be_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "CHECK_S", 0.01)

    def refuse() -> None:
        raise program.ConversionError("taken over")

    with pytest.raises(program.ConversionError, match="taken over"):
        program.run_program([sys.executable, "-c", "import signal; signal.pause()"], {}, refuse)


class Hours:
    """A clock that only goes on when somebody waits, and what another run does meanwhile."""

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.seconds = 1_800_000_000.0
        self.meanwhile = meanwhile
        self.waits = 0

    def now(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> None:
        self.seconds += seconds
        self.waits += 1
        self.meanwhile()

    @property
    def clock(self) -> Any:
        return program.Clock(self.now, self.wait)


def _begin(bucket: Memory, hours: Hours, **changes: str) -> Any:
    """A run that has begun and left half a checkpoint, and then neither ended nor said anything."""
    hold = program.Hold(_request(**changes), bucket, hours.clock)
    assert hold.take()
    bucket.objects[f"{program.UNSCANNED}/half"] = "half"
    return hold


def test_a_second_run_refuses_while_the_first_is_at_work_and_says_which_and_until_when() -> None:
    bucket, hours = Memory(), Hours()
    first = _begin(bucket, hours)
    hours.meanwhile = first.refresh
    with pytest.raises(program.ConversionError) as refused:
        program.convert(_request(), bucket, bucket.download, bucket.run, hours.clock)
    for words in (first.owner, "Mixtral-8x7B-Instruct-v0.1", "until 2027-01-15T08:05:15+00:00", "another prefix"):
        assert words in str(refused.value)
    assert "unscanned_ckpt/half" in bucket.objects
    assert not [what for what in bucket.happened if what.startswith("delete")]


def test_a_second_run_waits_until_the_first_must_be_dead_and_takes_over() -> None:
    bucket, hours = Memory(), Hours()
    first = _begin(bucket, hours)
    begun = hours.seconds
    program.convert(_request(), bucket, bucket.download, bucket.run, hours.clock)
    assert program.FRESH_S <= hours.seconds - begun <= program.FRESH_S + program.LOOK_S
    assert "unscanned_ckpt/half" not in bucket.objects
    assert "conversion.json" in bucket.objects
    first.refresh()
    with pytest.raises(program.ConversionError, match="taken over"):
        first.check()


def test_a_run_that_was_taken_over_writes_no_marker() -> None:
    bucket, hours = Memory(), Hours()

    def run(words: Sequence[str], environment: Mapping[str, str], check: Callable[[], None]) -> int:
        code = bucket.run(words, environment, check)
        hours.seconds += program.FRESH_S
        _begin(bucket, hours)
        return code

    with pytest.raises(program.ConversionError, match="taken over"):
        program.convert(_request(), bucket, bucket.download, run, hours.clock)
    assert "conversion.json" not in bucket.objects
    assert "unscanned_ckpt/half" in bucket.objects


def test_a_run_that_cannot_write_stops_before_another_takes_over() -> None:
    hours = Hours()
    hold = _begin(Memory(), hours)
    hours.seconds += program.FRESH_S - 1
    hold.check()
    hours.seconds += 1
    with pytest.raises(program.ConversionError, match="may take over"):
        hold.check()


def test_a_run_that_finds_the_checkpoint_finished_meanwhile_leaves_it_alone() -> None:
    bucket, hours = Memory(), Hours()
    _begin(bucket, hours)

    def finish() -> None:
        bucket.write("conversion.json", json.dumps(_request().record()), 0)

    hours.meanwhile = finish
    program.convert(_request(), bucket, bucket.download, bucket.run, hours.clock)
    assert "unscanned_ckpt/half" in bucket.objects
    assert "download" not in bucket.happened


def test_a_run_that_failed_is_followed_at_once() -> None:
    bucket, hours = Memory(), Hours()
    with pytest.raises(program.ConversionError):
        program.convert(_request(), bucket, bucket.download, bucket.fail, hours.clock)
    program.convert(_request(), bucket, bucket.download, bucket.run, hours.clock)
    assert hours.waits == 0


def test_of_two_that_begin_at_the_same_moment_one_gets_it() -> None:
    bucket, hours = Memory(), Hours()
    rival = program.Hold(_request(), bucket, hours.clock)

    class Late(Memory):
        """The rival writes between this run's look and its write."""

        def write(self, name: str, text: str, generation: int) -> int:
            if not bucket.objects:
                assert rival.take()
            return bucket.write(name, text, generation)

        read = bucket.read  # type: ignore[assignment]

    hours.meanwhile = rival.refresh
    with pytest.raises(program.ConversionError, match=rival.owner):
        program.convert(_request(), Late(), bucket.download, bucket.run, hours.clock)
    assert "download" not in bucket.happened


@pytest.mark.parametrize("lost", ["the first", "a later"])
def test_an_answer_that_got_lost_is_not_taken_for_another_run(lost: str) -> None:
    bucket, hours = Memory(), Hours()
    bucket.answers_lost = int(lost == "the first")
    hold = program.Hold(_request(), bucket, hours.clock)
    assert hold.take()
    bucket.answers_lost = int(lost == "a later")
    hold.refresh()
    hold.refresh()
    hold.check()
    assert hours.waits == 0


def test_a_run_says_all_the_time_that_it_is_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "REFRESH_S", 0.001)
    written = threading.Event()

    class Watched(Memory):
        def write(self, name: str, text: str, generation: int) -> int:
            if self.happened.count("write conversion-begun.json") > 2:
                written.set()
            return super().write(name, text, generation)

    bucket = Watched()

    def run(words: Sequence[str], environment: Mapping[str, str], check: Callable[[], None]) -> int:
        assert written.wait(30)
        return bucket.run(words, environment, check)

    program.convert(_request(), bucket, bucket.download, run)
    assert "conversion.json" in bucket.objects


@pytest.mark.parametrize("text", ["not JSON", "[]", '{"modelName": "mistral-7b"}', '{"until": "soon"}'])
def test_a_begun_marker_that_names_nobody_holds_nobody_off(text: str) -> None:
    bucket, hours = Memory(**{"conversion-begun.json": text, "unscanned_ckpt/half": "half"}), Hours()
    program.convert(_request(), bucket, bucket.download, bucket.run, hours.clock)
    assert hours.waits == 0
    assert "conversion.json" in bucket.objects


def test_the_image_has_each_of_the_programs_files() -> None:
    dockerfile = (FILE.parents[1] / "jetstream-maxtext.Dockerfile").read_text()
    copied = next(line for line in dockerfile.splitlines() if line.startswith("COPY docker/"))
    assert {f"docker/jetstream-maxtext/{file.name}" for file in FILE.parent.glob("*.py")} == set(copied.split()[1:-1])
