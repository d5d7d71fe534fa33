"""What holds of every model of the shipped catalogue, and what its files say of where their facts come from."""

import re
from typing import Any

import pytest

from mistral_operator.catalogue.compile import read_sources
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.catalogue.model import Model

CATALOGUE = load_catalogue()
FILES: dict[str, Any] = {path: data for path, data in read_sources().items() if path.startswith("models/")}

each_model = pytest.mark.parametrize("model", CATALOGUE.models.values(), ids=lambda model: model.id)
each_file = pytest.mark.parametrize("path", FILES)


def has_field(data: Any, path: str) -> bool:
    """Whether there is a place such as `checkpoints[1].gated`, whatever is in it."""
    for part in re.findall(r"[^.\[\]]+", path):
        if not (part in data if isinstance(data, dict) else int(part) < len(data)):
            return False
        data = data[int(part)] if isinstance(data, list) else data[part]
    return True


@each_file
def test_what_is_unverified_and_what_has_a_source_are_fields_of_the_file(path: str) -> None:
    data = FILES[path]
    assert [field for field in (*data["unverified"], *data["sources"]) if not has_field(data, field)] == []


@each_file
def test_no_unknown_fact_passes_as_a_known_one(path: str) -> None:
    data = FILES[path]
    for index, checkpoint in enumerate(data.get("checkpoints", [])):
        marked = f"checkpoints[{index}].gated" in data["unverified"]
        assert marked == (checkpoint["gated"] is None), checkpoint["repository"]
    assert data["license"] or "license" in data["unverified"]


@each_file
def test_every_license_and_architecture_has_a_source(path: str) -> None:
    data = FILES[path]
    assert "license" in data["sources"] or "license" in data["unverified"]
    assert "unserved" in data["sources"] if "unserved" in data else "architecture" in data["sources"]


@each_model
def test_the_checkpoint_that_is_served_unasked_comes_first(model: Model) -> None:
    """One that chats or reasons rather than a base; of one variant, no other has the published precision first."""
    first = model.checkpoints[0]
    assert first.variant != "base"
    assert first.precision == model.precision
    offered = [(item.variant, item.precision) for item in model.checkpoints]
    assert len(offered) == len(set(offered)), "two repositories that nothing tells apart"
    assert model.parameters > 0
    assert model.released


def test_ministral_3_comes_in_three_variants() -> None:
    for size in ("3b", "8b", "14b"):
        checkpoints = CATALOGUE.models[f"ministral-3-{size}-2512"].checkpoints
        assert [(item.variant, item.precision) for item in checkpoints] == [
            ("instruct", "fp8"),
            ("instruct", "bf16"),
            ("reasoning", "bf16"),
            ("base", "bf16"),
        ]


@each_model
def test_the_planners_own_flags_are_no_models_business(model: Model) -> None:
    planned = {"--max-model-len", "--tensor-parallel-size", "--max-num-seqs", "--max-num-batched-tokens", "--dtype"}
    for engine in model.engines.values():
        flags = (*engine.flags, *engine.tool_calling, *engine.reasoning)
        assert not planned & set(flags)


@each_model
def test_on_tpus_are_only_such_as_something_there_can_load(model: Model) -> None:
    architecture = model.architecture
    unable = bool(architecture.audio or architecture.state_space) or model.family == "pixtral"
    assert ("vllm-tpu" in model.engines) == (not unable)
    if "vllm-tpu" not in model.engines:
        return
    engine = model.engines["vllm-tpu"]
    assert ("--language-model-only" in engine.flags) == (architecture.vision is not None)
    # Latent attention starts there with this only.
    assert (engine.env.get("NEW_MODEL_DESIGN") == "1") == (architecture.latent is not None)


def test_a_draft_belongs_to_a_model_and_is_no_checkpoint_of_one() -> None:
    drafts = {draft.repository.lower() for model in CATALOGUE.models.values() for draft in model.drafts}
    assert len(drafts) == 3
    assert not drafts & set(CATALOGUE.model_names)


def test_what_nothing_serves_names_the_nearest_that_is_served() -> None:
    assert set(CATALOGUE.unserved) == {"mistral-large-4-1t", "voxtral-4b-tts-2603"}
    for entry in CATALOGUE.unserved.values():
        named = [name for name in CATALOGUE.models if name in entry.reason]
        assert named, entry.reason
        for name in (entry.id, *entry.aliases, *entry.repositories):
            assert CATALOGUE.unserved_names[name.lower()] is entry
            assert name.lower() not in CATALOGUE.model_names
