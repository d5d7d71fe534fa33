"""Faults in the data are named with file and field."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from mistral_operator.catalogue.compile import main, read_sources
from mistral_operator.catalogue.parse import parse_catalogue
from mistral_operator.catalogue.reader import CatalogueError

MODEL = "models/mistral-7b-v0.3.yaml"
LARGE_3 = "models/mistral-large-3-675b-2512.yaml"
MAMBA = "models/mamba-codestral-7b-v0.1.yaml"
VOXTRAL = "models/voxtral-mini-3b-2507.yaml"
UNSERVED = "models/voxtral-4b-tts-2603.yaml"
L4 = "accelerators/l4.yaml"
DRAFT = {
    "repository": "mistralai/Mistral-Medium-3.5-128B-EAGLE",
    "precision": "fp8",
    "layers": 1,
    "tokens": 3,
    "max_context": 4096,
}
Data = dict[str, Any]


def _set(path: str, key: str, value: object, *inner: str) -> Callable[[Data], None]:
    def change(data: Data) -> None:
        target = data[path]
        for name in inner:
            target = target[name]
        target[key] = value

    return change


def _set_item(key: str, value: object) -> Callable[[Data], None]:
    """In the first checkpoint."""

    def change(data: Data) -> None:
        data[MODEL]["checkpoints"][0][key] = value

    return change


def _move(data: Data) -> None:
    data["recipes/x.yaml"] = {"id": "x"}


def _forget(data: Data) -> None:
    del data[MODEL]["architecture"]["heads"]


def _widen(data: Data) -> None:
    (machine,) = [item for item in data["accelerators/v5e.yaml"]["machines"] if "slices" in item]
    machine["slices"] = ["400x400"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set(MODEL, "layres", 3, "architecture"), f"{MODEL}: architecture: unknown key layres"),
        (_forget, f"{MODEL}: architecture: heads is missing"),
        (_set(MODEL, "layers", "32", "architecture"), f"{MODEL}: architecture: layers: expected a whole number from 1"),
        (_set(MODEL, "layers", True, "architecture"), "layers: expected a whole number"),
        (_set(MODEL, "kv_heads", 5, "architecture"), "kv_heads: expected a divisor of heads = 32"),
        (_set(MODEL, "kind", "moe", "architecture"), "experts: expected experts exactly where kind is moe"),
        (_set(MODEL, "tied_embeddings", "no", "architecture"), "tied_embeddings: expected true or false"),
        (_set(MODEL, "recommended", 99999, "context"), "context: expected recommended ≤ maximum = 32768"),
        (_set(MODEL, "id", "other"), f"{MODEL}: id: expected the file's name"),
        (_set(MODEL, "checkpoints", []), "checkpoints: expected at least one repository"),
        (_set(MODEL, "checkpoints", ["x"]), "checkpoints[0]: expected a mapping"),
        (
            _set(MODEL, "aliases", ["mixtral-8x7b"]),
            "mixtral-8x7b is a model's name in models/mistral-7b-v0.3.yaml already",
        ),
        (_set(MODEL, "aliases", "mixtral"), "aliases: expected a list of texts"),
        (_set(MODEL, "engines", {"sglang": {"since": "1", "flags": [], "tool_calling": []}}), "engines: sglang is not"),
        (_set(MODEL, "engines", {}), "engines: expected at least one engine, or `unserved` with the reason"),
        (_set(MODEL, "precision", "fp8"), "precision: expected that of the first checkpoint, bf16"),
        (_set(MODEL, "adapters", "yes"), f"{MODEL}: adapters: expected true or false"),
        (_set_item("precision", "int4"), "checkpoints[0]: precision: expected one of bf16, fp8, nvfp4"),
        (_set_item("variant", "chat"), "checkpoints[0]: variant: expected one of instruct, base, reasoning"),
        (_set_item("group", 0), "checkpoints[0]: group: expected a whole number from 1"),
        (_set(MODEL, "drafts", [DRAFT | {"layers": 0}]), "drafts[0]: layers: expected a whole number from 1"),
        (_set(MODEL, "drafts", [DRAFT | {"experts": True}]), "drafts: expected experts only where the model has them"),
        (_set(MODEL, "drafts", [DRAFT | {"tokens": None}]), f"{MODEL}: drafts[0]: tokens: expected a whole number"),
        (_set(LARGE_3, "dense_layers", 61, "architecture", "experts"), "dense_layers: expected fewer than layers = 61"),
        (_set(LARGE_3, "rank", "512", "architecture", "latent"), f"{LARGE_3}: architecture: latent: rank: expected"),
        (_set(VOXTRAL, "parameters", 0, "architecture", "audio"), f"{VOXTRAL}: architecture: audio: parameters: expec"),
        (_set(MAMBA, "heads", 32, "architecture"), f"{MAMBA}: architecture: heads: expected nothing"),
        (_set(MAMBA, "state_space", None, "architecture"), "expected a state space exactly where kind is mamba"),
        (_set(MAMBA, "groups", 7, "architecture", "state_space"), "state_space: groups: expected a divisor of heads"),
        (_set(MODEL, "heads", 0, "architecture"), "architecture: heads: expected a whole number from 1"),
        (_set(UNSERVED, "unserved", 3), f"{UNSERVED}: unserved: expected a text"),
        (_set(UNSERVED, "engines", {}), f"{UNSERVED}: unknown key engines"),
        (_set(UNSERVED, "aliases", ["mixtral-8x7b"]), "mixtral-8x7b is a model's name in"),
        (
            _set(UNSERVED, "repositories", [DRAFT["repository"]]),
            "-3.5-128b-eagle is a model's name in",
        ),
        (_set(MODEL, "drafts", [DRAFT]), "-3.5-128b-eagle is a model's name in"),
        (_set(L4, "usable_memory_gib", "25"), "usable_memory_gib: expected at most memory_gib = 24"),
        (_set(L4, "usable_memory_gib", 22.0), "usable_memory_gib: expected a decimal number in quotes"),
        (_set(L4, "fp8", "maybe"), "fp8: expected one of native, weight-only, none"),
        (_set(L4, "machines", {}), "machines: expected a list"),
        (_set(L4, "consumption", ["Barter"]), "consumption: expected one of OnDemand, Spot"),
        (_set(L4, "memory_gib", 10_001), "memory_gib: expected a whole number from 1 to 10000"),
        (_set(L4, "usable_memory_gib", "1e1"), "usable_memory_gib: expected a decimal number in quotes"),
        (_set(MODEL, "vocabulary", 10**9, "architecture"), "vocabulary: expected a whole number from 1 to 100000000"),
        (_widen, "slices: expected topologies of more than 4 chips, and at most 10000, found '400x400'"),
        (_set("engines/vllm-gpu.yaml", "utilization", "1.2"), "utilization: expected a share above 0"),
        (_set("engines/vllm-gpu.yaml", "batching", []), "batching: expected a last class from 0 GiB"),
        (_set("engines/vllm-gpu.yaml", "context_margin", "1", "memory"), "context_margin: expected a share below 1"),
        (_set("engines/vllm-gpu.yaml", "image_gib_s", "0", "startup"), "expected speeds above 0"),
        (
            _set("engines/vllm-gpu.yaml", "parallelism", []),
            "parallelism: expected tensor, and some of tensor, pipeline",
        ),
        (_set("models/mixtral-8x7b.yaml", "active", 9, "architecture", "experts"), "experts: active: expected at most"),
        (_set("support.yaml", "tier", "sure", "default"), "support.yaml: default: tier: expected one of verified"),
        (_move, "recipes/x.yaml: expected a file below models, accelerators or engines"),
    ],
)
def test_faults_are_named(change: Callable[[Data], None], message: str) -> None:
    data = deepcopy(read_sources())
    change(data)
    with pytest.raises(CatalogueError) as caught:
        parse_catalogue(data)
    assert message in str(caught.value)


def test_support_rules_name_known_entries() -> None:
    data = deepcopy(read_sources())
    support: Any = data["support.yaml"]
    support["rules"][0]["accelerators"].append("l5")
    with pytest.raises(
        CatalogueError, match=r"rules\[0\]: accelerators: l5 is not in the catalogue; known are a100-40"
    ):
        parse_catalogue(data)


def test_check_passes_and_bad_arguments_show_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0
    assert main([]) == 2
    assert "usage:" in capsys.readouterr().err
