"""Faults in the data are named with file and field."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from mistral_operator.catalogue.compile import main, read_sources
from mistral_operator.catalogue.parse import parse_catalogue
from mistral_operator.catalogue.reader import CatalogueError

MODEL = "models/mistral-7b-v0.3.yaml"
L4 = "accelerators/l4.yaml"
Data = dict[str, Any]


def _set(path: str, key: str, value: object, *inner: str) -> Callable[[Data], None]:
    def change(data: Data) -> None:
        target = data[path]
        for name in inner:
            target = target[name]
        target[key] = value

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
