"""Converts a model's weights from Hugging Face into what JetStream with MaxText serves, once for each destination.

It runs in the image made by docker/jetstream-maxtext.Dockerfile, on CPUs, beside checkpoint_bucket.py, and needs
nothing of the operator's package:

    python3 convert_checkpoint.py --model-name mixtral-8x7b --repository mistralai/Mixtral-8x7B-Instruct-v0.1 \
        --revision COMMIT --destination gs://bucket/prefix

A token for Hugging Face is read from HF_TOKEN. JetStream then loads DESTINATION/unscanned_ckpt/checkpoints/0/items.
DESTINATION/conversion.json is written last: where it is, the conversion is finished, and is not done again. An
interrupted one is begun anew; what somebody else has put there is left alone. The exit code is 0 then, 1 after a
failure, and 2 for wrong arguments; the last line says what happened.

DESTINATION/conversion-begun.json says which run is at work there, and until when that is to be believed; a run that
works writes it anew all the time. A second run refuses when it sees that, and takes over from one that has died. The
machines' clocks must agree within a minute or so.

Memory: about twice the weights for mistral-7b, less for the others, which are read piece by piece. Disk: the weights.
None of this has been run on real weights.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from checkpoint_bucket import Bucket, ChangedError, Store, Stored

BEGUN: Final = "conversion-begun.json"
MARKER: Final = "conversion.json"
SCANNED: Final = "scanned_ckpt"
UNSCANNED: Final = "unscanned_ckpt"
ITEMS: Final = f"{UNSCANNED}/checkpoints/0/items"
CONFIG: Final = "/opt/maxtext/src/maxtext/configs/base.yml"

MIXTURES: Final = ("mixtral-8x7b", "mixtral-8x22b")
"""MaxText's general converter knows these, and writes what is served in one step."""
DENSE: Final = ("mistral-7b",)
"""Two steps: a checkpoint with all layers in one array, then one with each layer apart."""

WEIGHTS: Final = ("model.safetensors", "model-*.safetensors", "model.safetensors.index.json", "config.json")
"""In Hugging Face's layout only: repositories also have Mistral's own, which would double the download."""

REFRESH_S: Final = 60.0
FRESH_S: Final = 300.0
"""A run counts as dead so long after its last sign of life: some lost writes and a slow clock don't make it so."""
LOOK_S: Final = 15.0
"""How often a run looks whether another one, which it found at work, still is."""
CHECK_S: Final = 1.0
"""How often a running step is looked after."""

REPOSITORY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
REVISION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
DESTINATION: Final = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,220}(/[A-Za-z0-9._-]+)+")

Run = Callable[[Sequence[str], Mapping[str, str], Callable[[], None]], int]
"""Runs a program with an environment; its exit code. The last argument is called meanwhile, and raises to stop it."""


class ConversionError(Exception):
    """Says in one line what went wrong, for whoever reads the Job's log."""


@dataclass(frozen=True)
class Request:
    """What is to be converted, and where to."""

    model_name: str
    repository: str
    revision: str
    destination: str

    def record(self) -> dict[str, str]:
        """What the marker says."""
        return {"modelName": self.model_name, "repository": self.repository, "revision": self.revision, "items": ITEMS}


def plan_steps(model_name: str, weights: Path, destination: str) -> list[list[str]]:
    """The programs that convert, in their order, as argument lists: no shell sees them."""
    python = sys.executable
    if model_name in MIXTURES:
        return [
            [
                *(python, "-m", "maxtext.checkpoint_conversion.to_maxtext", CONFIG, f"model_name={model_name}"),
                f"base_output_directory={destination}/{UNSCANNED}/checkpoints",
                *("scan_layers=false", "hardware=cpu", "skip_jax_distributed_system=true"),
                *(f"--hf_model_path={weights}", "--lazy_load_tensors=true"),
            ]
        ]
    standalone = "maxtext.checkpoint_conversion.standalone_scripts.llama_or_mistral_ckpt"
    return [
        [
            *(python, "-m", standalone, f"--base-model-path={weights}", f"--model-size={model_name}"),
            *(f"--maxtext-model-path={destination}/{SCANNED}", "--huggingface-checkpoint=true"),
        ],
        [
            *(python, "-m", "maxtext.utils.generate_param_only_checkpoint", CONFIG, f"model_name={model_name}"),
            f"load_parameters_path={destination}/{SCANNED}/0/items",
            *(f"base_output_directory={destination}", f"run_name={UNSCANNED}"),
            *("force_unroll=true", "async_checkpointing=false", "skip_jax_distributed_system=true"),
        ],
    ]


def is_finished(request: Request, store: Store) -> bool:
    """Whether the destination holds this conversion. Raises ConversionError if it holds another one."""
    stored = store.read(MARKER)
    if stored is None:
        return False
    try:
        found = json.loads(stored.text)
    except ValueError:
        found = stored.text
    if found != request.record():
        raise ConversionError(
            f"{request.destination}/{MARKER} is of another conversion: {found}; choose another prefix"
        )
    return True


@dataclass(frozen=True)
class Clock:
    """Seconds since 1970, and how to let some pass."""

    now: Callable[[], float] = time.time
    wait: Callable[[float], None] = time.sleep


class Hold:
    """One run's hold on a destination. As a context it keeps it, and gives it up after a failure."""

    def __init__(self, request: Request, store: Store, clock: Clock) -> None:
        self.owner = uuid.uuid4().hex
        self._request, self._store, self._clock = request, store, clock
        self._generation, self._until, self._lost = 0, 0.0, False
        self._ended = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    def take(self) -> bool:
        """Wait while another run may have died; False when one has finished. Raises ConversionError if one works."""
        seen = 0
        while not is_finished(self._request, self._store):
            found = self._store.read(BEGUN)
            if found is None:
                _refuse_strangers(self._request, self._store)
            elif self._is_anothers(found):
                if seen not in (0, found.generation):
                    raise ConversionError(self._describe(found))
                seen = found.generation
                self._clock.wait(LOOK_S)
                continue
            try:
                self._write(found.generation if found else 0, FRESH_S)
            except ChangedError:
                continue
            # The other one may have finished after the look and before the write.
            return not is_finished(self._request, self._store)
        return False

    def refresh(self) -> None:
        """Say that this run is still at work, or find that another one has taken over."""
        try:
            self._write(self._generation, FRESH_S)
        except ChangedError:
            # An answer that got lost is asked for again, and then the object has changed by ourselves.
            found = self._store.read(BEGUN)
            if found is None or _read_record(found).get("owner") != self.owner:
                self._lost = True
            else:
                self._generation, self._until = found.generation, float(_read_record(found)["until"])

    def check(self) -> None:
        """Raises ConversionError when another run may be at work by now."""
        if self._lost:
            raise ConversionError(
                f"another run has taken over {self._request.destination}; this one, {self.owner}, stops"
            )
        if self._clock.now() >= self._until:
            raise ConversionError(f"{BEGUN} could not be written for {FRESH_S:.0f} s, so another run may take over")

    def __enter__(self) -> "Hold":
        self._keeper.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._ended.set()
        self._keeper.join()
        if kind is None or self._lost:
            return
        try:
            self._write(self._generation, 0)
        except Exception as error:  # What went wrong before is what has to be told; the hold ends by itself.
            print(f"{BEGUN} could not be given up: {type(error).__name__}", file=sys.stderr, flush=True)

    def _keep(self) -> None:
        while not self._lost and not self._ended.wait(REFRESH_S):
            try:
                self.refresh()
            except Exception as error:  # It is tried again, and `check` knows when it has been too long.
                print(f"{BEGUN} could not be written: {type(error).__name__}", file=sys.stderr, flush=True)

    def _write(self, generation: int, seconds: float) -> None:
        until = self._clock.now() + seconds
        record = {**self._request.record(), "owner": self.owner, "until": until}
        self._generation = self._store.write(BEGUN, json.dumps(record, sort_keys=True), generation)
        self._until = until

    def _is_anothers(self, found: Stored) -> bool:
        record = _read_record(found)
        return record.get("owner") != self.owner and float(record.get("until", 0)) > self._clock.now()

    def _describe(self, found: Stored) -> str:
        record = _read_record(found)
        until = datetime.fromtimestamp(float(record["until"]), UTC).isoformat(timespec="seconds")
        return (
            f"{self._request.destination} is being written by run {record['owner']}, which converts"
            f" {record['repository']} at {record['revision']} and is believed to be at work until {until} at least;"
            " wait for it, or choose another prefix"
        )


def _read_record(found: Stored) -> dict[str, Any]:
    """What BEGUN says; empty when it isn't this program's, so that it holds nobody off."""
    try:
        record = json.loads(found.text)
        float(record.get("until", 0))
    except (ValueError, TypeError, AttributeError):
        return {}
    return dict(record)


def convert(
    request: Request, store: Store, download: Callable[[Request, Path], None], run: Run, clock: Clock | None = None
) -> None:
    """Convert unless that is done already. Raises ConversionError."""
    hold = Hold(request, store, clock or Clock())
    if not hold.take():
        print(f"{request.destination} is finished already", flush=True)
        return
    print(f"run {hold.owner} has {request.destination}", flush=True)
    with hold:
        # What an interrupted attempt has left would be taken for a checkpoint.
        for name in filter(store.has_any, (SCANNED, UNSCANNED)):
            store.delete_below(name)
        _make_checkpoint(request, hold, download, run)
        if not store.has_any(ITEMS):
            raise ConversionError(f"the converter ended well, but left nothing in {request.destination}/{ITEMS}")
    hold.refresh()
    hold.check()
    store.write(MARKER, json.dumps(request.record(), sort_keys=True), 0)
    store.delete_below(SCANNED)


def _make_checkpoint(request: Request, hold: Hold, download: Callable[[Request, Path], None], run: Run) -> None:
    weights = Path(tempfile.mkdtemp(prefix="weights-"))
    try:
        print(f"downloading {request.repository} at {request.revision}", flush=True)
        download(request, weights)
        hold.check()
        _run_steps(request, weights, run, hold.check)
    finally:
        shutil.rmtree(weights, ignore_errors=True)


def _refuse_strangers(request: Request, store: Store) -> None:
    """Refuse a destination where something is that no run of this program began."""
    left = next((name for name in (SCANNED, UNSCANNED) if store.has_any(name)), None)
    if left:
        raise ConversionError(
            f"{request.destination}/{left} is there, and this program didn't begin it; choose another prefix"
        )


def _run_steps(request: Request, weights: Path, run: Run, check: Callable[[], None]) -> None:
    # The steps read local files: they have no use for the token.
    environment = {name: value for name, value in os.environ.items() if name != "HF_TOKEN"}
    steps = plan_steps(request.model_name, weights, request.destination)
    for number, step in enumerate(steps, start=1):
        print(f"step {number} of {len(steps)}: {step[2]}", flush=True)
        code = run(step, {**environment, "JAX_PLATFORMS": "cpu", "HF_HUB_OFFLINE": "1"}, check)
        if code:
            killed = "; it was killed, most likely for want of memory" if code in (-9, 137) else ""
            raise ConversionError(f"{step[2]} ended with {code}{killed}")


def read_arguments(arguments: Sequence[str]) -> Request:
    """The request; exits with 2 when an argument is wrong."""
    parser = argparse.ArgumentParser(prog="convert_checkpoint.py", description="Convert weights for JetStream, once.")
    parser.add_argument("--model-name", required=True, choices=(*DENSE, *MIXTURES), help="MaxText's name of the model")
    parser.add_argument("--repository", required=True, type=_matching(REPOSITORY), help="on Hugging Face, owner/name")
    parser.add_argument("--revision", required=True, type=_matching(REVISION), help="commit of the repository")
    parser.add_argument("--destination", required=True, type=_matching(DESTINATION), help="gs://bucket/prefix")
    return Request(**vars(parser.parse_args(arguments)))


def _matching(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not pattern.fullmatch(text) or ".." in text:
            raise argparse.ArgumentTypeError(f"{text!r} doesn't look like {pattern.pattern}")
        return text

    return check


def download_weights(request: Request, directory: Path) -> None:
    """Download one layout of the repository's weights, with HF_TOKEN if there is one. Raises ConversionError."""
    from huggingface_hub import snapshot_download

    snapshot_download(
        request.repository,
        revision=request.revision,
        local_dir=directory,
        allow_patterns=list(WEIGHTS),
        token=os.environ.get("HF_TOKEN") or False,
    )
    if not any(directory.glob("model*.safetensors")):
        raise ConversionError(f"{request.repository} at {request.revision} has no model*.safetensors")


def run_program(words: Sequence[str], environment: Mapping[str, str], check: Callable[[], None]) -> int:
    """Run a program with this one's output; its exit code, negative for a signal. It is killed when `check` raises."""
    with subprocess.Popen(words, env=dict(environment)) as process:  # noqa: S603 - a list, no shell
        while True:
            try:
                return process.wait(CHECK_S)
            except subprocess.TimeoutExpired:
                try:
                    check()
                except ConversionError:
                    process.kill()
                    raise


def main(arguments: Sequence[str]) -> int:
    """The exit code; the last line says what happened."""
    request = read_arguments(arguments)
    try:
        convert(request, Bucket(request.destination), download_weights, run_program)
    except ConversionError as error:
        print(f"FAILED: {error}", file=sys.stderr, flush=True)
        return 1
    except Exception as error:  # The libraries' own: the log's reader needs them in one line too.
        print(f"FAILED: {type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        return 1
    print(f"finished: {request.destination}/{ITEMS}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
