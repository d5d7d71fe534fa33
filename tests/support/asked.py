"""One row of a source as a question to the planner: what the row fixes is fixed as a user would, the rest is open.

Hardware that GKE doesn't have, or not in that number, is added to the catalogue, sold on demand in a machine as large
as the largest.
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import yaml
from tests.support.world import make_model

from mistral_operator.api.engine import EngineType
from mistral_operator.api.model import MistralModel, MistralModelSpec
from mistral_operator.catalogue.accelerator import Accelerator, MachineShape
from mistral_operator.catalogue.engine import Batching, Engine
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.catalogue.model import Model
from mistral_operator.catalogue.types import Catalogue
from mistral_operator.catalogue.units import GIB
from mistral_operator.planning.fit import batch_for, fit
from mistral_operator.planning.layout import Layout, Misfit
from mistral_operator.planning.plan import plan_model, prepare
from mistral_operator.planning.runtimes import ENGINE_IDS
from mistral_operator.planning.types import ClusterProfile, PlanRefused, Settings
from mistral_operator.planning.weigh import NOT_ALLOWED
from mistral_operator.planning.weights import PRECISIONS

FOLDER: Final = Path(__file__).parents[1] / "sources"
CATALOGUE: Final = load_catalogue()
GIGABYTE: Final = 10**9
RUNS: Final = "runs"
ANY: Final = "any"
BARE: Final = "bare-memory"
IMAGE: Final = "registry.example/image:1"
SETTINGS: Final = Settings("0", images=dict.fromkeys((*CATALOGUE.engines, "gateway"), IMAGE))
ANYWHERE: Final = ClusterProfile(provider="GKE", project="", location="", cluster="", zones=(), leader_worker_set=True)


def ask(row: Mapping[str, Any]) -> str:
    """`runs`, or the planner's reason against it."""
    catalogue, spec = extend_catalogue(row), write_spec(row)
    plan = plan_model(MistralModel.model_validate(make_model(**spec)), catalogue, ANYWHERE, SETTINGS)
    if isinstance(plan, PlanRefused):
        return next((item.message for item in plan.refusals if item.reason != NOT_ALLOWED), plan.message)
    return _ask_layout(row, catalogue, spec) if "tensor_parallel" in row else RUNS


def write_spec(row: Mapping[str, Any]) -> dict[str, Any]:
    """The spec of a user who wants just this row."""
    model, engine_id = CATALOGUE.models[row["model"]], row.get("engine", "vllm-gpu")
    engine: dict[str, Any] = {
        "type": next(kind for kind, ids in ENGINE_IDS.items() if engine_id in ids and kind is not EngineType.AUTO),
        "precision": next(name for name, value in PRECISIONS.items() if value == row["precision"]),
        "kvCachePrecision": row.get("kv_cache", "bf16").upper(),
    }
    if "context" in row:
        engine["contextLength"] = row["context"]
    if row.get("eagle"):
        engine["speculative"] = {"method": "Eagle", "draftModel": model.drafts[0].repository, "tokens": 3}
    spec = {"model": model.id, "license": {"accept": model.license.id}, "allowExperimental": True, "engine": engine}
    if "variant" in row:
        spec["variant"] = row["variant"]
    if engine_id == "jetstream-maxtext":
        spec["weights"] = {"gcs": {"uri": "gs://bucket/folder"}}
    if row.get("accelerator") != ANY:
        spec["capacity"] = {
            "options": [{"accelerator": row.get("accelerator", BARE), "devices": row.get("devices", 1)}]
        }
    return spec


def extend_catalogue(row: Mapping[str, Any]) -> Catalogue:
    """The catalogue with the row's hardware alone, and with its engine and model as the row's command starts them."""
    engine = _find_engine(row)
    return replace(
        CATALOGUE,
        models={row["model"]: _find_model(row)},
        accelerators=_find_hardware(row, engine),
        engines={**CATALOGUE.engines, engine.id: engine},
    )


def find_accelerator(name: str) -> Accelerator:
    """One of GKE's, or one that only the sources have."""
    if name in CATALOGUE.accelerators:
        return CATALOGUE.accelerators[name]
    facts = dict(yaml.safe_load((FOLDER / "hardware.yaml").read_text(encoding="utf-8"))[name])
    like = CATALOGUE.accelerators[facts.pop("like")]
    known = {key: value for key, value in facts.items() if key not in ("layer_us", "collective_us")}
    return replace(like, id=name, **{**known, "usable_memory_gib": Decimal(facts["usable_memory_gib"])})


def _ask_layout(row: Mapping[str, Any], catalogue: Catalogue, spec: Mapping[str, Any]) -> str:
    """Whether it fits in the row's own split too; the planner may have found another one."""
    prepared = prepare(MistralModelSpec.model_validate(spec), catalogue, ANYWHERE, SETTINGS)
    assert not isinstance(prepared, PlanRefused)  # it was planned before
    (accelerator,) = catalogue.accelerators.values()
    runtime = next(item for item in prepared[1].usable if item.engine.engine.kind == accelerator.kind)
    parallel = (row["tensor_parallel"], row.get("pipeline_parallel", 1))
    layout = Layout(*parallel, expert_parallel=row.get("expert_parallel", False))
    engine = runtime.engine.engine
    batch = batch_for(engine, accelerator, runtime.demand.concurrency)
    fitted = fit(prepared[0].model, engine, accelerator, layout, runtime.demand, batch)
    return fitted.message if isinstance(fitted, Misfit) else RUNS


def _find_model(row: Mapping[str, Any]) -> Model:
    model = CATALOGUE.models[row["model"]]
    return replace(model, architecture=replace(model.architecture, vision=None)) if row.get("text_only") else model


def _find_engine(row: Mapping[str, Any]) -> Engine:
    """The engine, with the share of memory and the batches that the row's command gives it."""
    engine = CATALOGUE.engines[row.get("engine", "vllm-gpu")]
    if "utilization" in row:
        engine = replace(engine, utilization=Decimal(row["utilization"]))
    if "sequences" in row:
        engine = replace(engine, batching=(Batching(0, (), row["sequences"], row["batched_tokens"]),))
    return engine


def _find_hardware(row: Mapping[str, Any], engine: Engine) -> dict[str, Accelerator]:
    if row.get("accelerator") == ANY:
        return {name: item for name, item in CATALOGUE.accelerators.items() if item.kind == engine.kind}
    accelerator = _bare_memory(row["memory_gb"]) if "memory_gb" in row else find_accelerator(row["accelerator"])
    shape = _asked_shape(accelerator.machines, row.get("devices", 1))
    return {accelerator.id: replace(accelerator, machines=(shape,), min_gke_version="")}


def _bare_memory(gigabytes: int) -> Accelerator:
    """A GPU of which nothing is known but its memory."""
    gib = Decimal(gigabytes * GIGABYTE) / GIB
    return replace(CATALOGUE.accelerators["h100-80"], id=BARE, memory_gib=int(gib), usable_memory_gib=gib)


def _asked_shape(machines: tuple[MachineShape, ...], devices: int) -> MachineShape:
    single = [shape for shape in machines if shape.hosts == 1 and shape.share == 1]
    largest = max(single, key=lambda shape: (shape.total_devices == devices, shape.devices, shape.memory_gib))
    return replace(largest, devices=devices, share=Fraction(1), consumption=("OnDemand",), placement_policy=False)
