"""Converts a model's weights from Hugging Face into what JetStream with MaxText serves, once for each destination.

It runs in the image made by docker/jetstream-maxtext.Dockerfile, on CPUs, and needs nothing of the operator's package:

    python3 convert_checkpoint.py --model-name mixtral-8x7b --repository mistralai/Mixtral-8x7B-Instruct-v0.1 \
        --revision COMMIT --destination gs://bucket/prefix

A token for Hugging Face is read from HF_TOKEN. JetStream then loads DESTINATION/unscanned_ckpt/checkpoints/0/items.
DESTINATION/conversion.json is written last: where it is, the conversion is finished, and is not done again. An
interrupted one is begun anew; what somebody else has put there is left alone. The exit code is 0 then, 1 after a
failure, and 2 for wrong arguments; the last line says what happened. Two of these must not run for one destination at
the same time.

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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

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

REPOSITORY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
REVISION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
DESTINATION: Final = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,220}(/[A-Za-z0-9._-]+)+")

Run = Callable[[Sequence[str], Mapping[str, str]], int]
"""Runs a program with an environment; its exit code."""


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


class Store(Protocol):
    """Objects in a bucket."""

    def read(self, name: str) -> str | None:
        """The object's text, or None if there is none."""
        ...

    def write(self, name: str, text: str) -> None:
        """Write an object."""
        ...

    def delete_below(self, name: str) -> None:
        """Delete all objects under NAME/."""
        ...

    def has_any(self, name: str) -> bool:
        """Whether there is an object under NAME/."""
        ...


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
    text = store.read(MARKER)
    if text is None:
        return False
    try:
        found = json.loads(text)
    except ValueError:
        found = text
    if found != request.record():
        raise ConversionError(
            f"{request.destination}/{MARKER} is of another conversion: {found}; choose another prefix"
        )
    return True


def convert(request: Request, store: Store, download: Callable[[Request, Path], None], run: Run) -> None:
    """Convert unless that is done already. Raises ConversionError."""
    if is_finished(request, store):
        print(f"{request.destination} is finished already", flush=True)
        return
    _clear(request, store)
    weights = Path(tempfile.mkdtemp(prefix="weights-"))
    try:
        print(f"downloading {request.repository} at {request.revision}", flush=True)
        download(request, weights)
        _run_steps(request, weights, run)
    finally:
        shutil.rmtree(weights, ignore_errors=True)
    if not store.has_any(ITEMS):
        raise ConversionError(f"the converter ended well, but left nothing in {request.destination}/{ITEMS}")
    store.write(MARKER, json.dumps(request.record(), sort_keys=True))
    store.delete_below(SCANNED)


def _clear(request: Request, store: Store) -> None:
    """Remove what an interrupted attempt has left, which would be taken for a checkpoint, and nothing else."""
    left = [name for name in (SCANNED, UNSCANNED) if store.has_any(name)]
    if left and store.read(BEGUN) is None:
        raise ConversionError(
            f"{request.destination}/{left[0]} is there, and this program didn't begin it; choose another prefix"
        )
    for name in left:
        store.delete_below(name)
    store.write(BEGUN, json.dumps(request.record(), sort_keys=True))


def _run_steps(request: Request, weights: Path, run: Run) -> None:
    # The steps read local files: they have no use for the token.
    environment = {name: value for name, value in os.environ.items() if name != "HF_TOKEN"}
    steps = plan_steps(request.model_name, weights, request.destination)
    for number, step in enumerate(steps, start=1):
        print(f"step {number} of {len(steps)}: {step[2]}", flush=True)
        code = run(step, {**environment, "JAX_PLATFORMS": "cpu", "HF_HUB_OFFLINE": "1"})
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


class Bucket:
    """Objects under a prefix of a Google Cloud Storage bucket, by the identity of the pod."""

    def __init__(self, destination: str) -> None:
        from google.cloud import storage

        name, _, self._prefix = destination.removeprefix("gs://").partition("/")
        self._client: Any = storage.Client()
        self._bucket = self._client.bucket(name)

    def read(self, name: str) -> str | None:
        blob = self._bucket.get_blob(f"{self._prefix}/{name}")
        return None if blob is None else str(blob.download_as_text())

    def write(self, name: str, text: str) -> None:
        self._bucket.blob(f"{self._prefix}/{name}").upload_from_string(text, content_type="application/json")

    def delete_below(self, name: str) -> None:
        for blob in self._client.list_blobs(self._bucket, prefix=f"{self._prefix}/{name}/"):
            blob.delete()

    def has_any(self, name: str) -> bool:
        found = self._client.list_blobs(self._bucket, prefix=f"{self._prefix}/{name}/", max_results=1)
        return any(True for _ in found)


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


def run_program(words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a program with this one's output; its exit code, negative for a signal."""
    return subprocess.run(words, env=dict(environment), check=False).returncode  # noqa: S603 - a list, no shell


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
