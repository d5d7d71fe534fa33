"""The CustomResourceDefinitions, made from the types. Also a program that writes or checks `crds/` and its docs."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.api.common import ApiType
from mistral_operator.api.model import MistralModel
from mistral_operator.api.names import (
    CLAIM_KIND,
    CLAIM_PLURAL,
    CLASS_KIND,
    CLASS_PLURAL,
    DEFAULT_CLASS_ANNOTATION,
    GROUP,
    MODEL_KIND,
    MODEL_PLURAL,
    VERSION,
)
from mistral_operator.api.serving_class import MistralServingClass

Json = dict[str, Any]

_HEAD: Final = (
    "# Generated from operator/mistral_operator/api: `python -m mistral_operator.api.schema --write`; do not edit.\n"
)

MAX_CRD_BYTES: Final = 200 * 1024
"""`kubectl apply` keeps a copy of the object in an annotation, which may have 256 KiB."""

_KEPT: Final[tuple[str, ...]] = (
    "type",
    "description",
    "enum",
    "format",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-int-or-string",
    "x-kubernetes-validations",
)
_SCHEMA_DEFAULT: Final = "x-schema-default"
"""Marks the few fields whose default never changes, and so may stand in the schema."""


def _column(name: str, path: str, kind: str = "string", *, priority: int = 0, description: str) -> Json:
    return {"name": name, "type": kind, "jsonPath": path, "priority": priority, "description": description}


_AGE: Final = _column("Age", ".metadata.creationTimestamp", "date", description="Time since the object was made.")
_MODEL_COLUMNS: Final = (
    _column("Ready", ".status.summary.ready", description="Ready and wanted replicas."),
    _column("Hardware", ".status.summary.hardware", description="What it runs on."),
    _column("Cost/h", ".status.summary.hourlyCost", description="US dollars an hour."),
    _column("Reason", ".status.summary.reason", description="The reason that matters most now."),
    _AGE,
    _column("Model", ".spec.model", priority=1, description="The model that was asked for."),
    _column("Endpoint", ".status.endpoint.url", priority=1, description="Where requests go."),
)
_CLAIM_COLUMNS: Final = (
    _column("State", ".status.state", description="State of the node pool."),
    _column("Machine", ".spec.shape.machineType", description="Machine type of the nodes."),
    _column("Consumption", ".spec.consumption", description="How the capacity is bought."),
    _column("Nodes", ".status.nodes.current", "integer", description="Nodes that are there."),
    _column("Max", ".status.nodes.desiredMax", "integer", description="Nodes that the pool may grow to."),
    _column("Cost/h", ".status.hourlyCost", description="US dollars an hour."),
    _AGE,
    _column("Pool", ".status.poolName", priority=1, description="Name of the node pool in GKE."),
    _column("Tenant", ".spec.tenant", priority=1, description="Namespace whose models share the pool."),
)
_DEFAULT_PATH: Final = f".metadata.annotations.{DEFAULT_CLASS_ANNOTATION.replace('.', chr(92) + '.')}"
_CLASS_COLUMNS: Final = (
    _column("Default", _DEFAULT_PATH, description="Whether models that name no class get this one."),
    _column("Accelerators", ".spec.limits.accelerators", description="Accelerators that models may use."),
    _column("Consumption", ".spec.limits.consumption", description="Ways in which capacity may be bought."),
    _column("MaxCost/h", ".spec.limits.maxHourlyCost", description="US dollars an hour that a model may cost."),
    _AGE,
    _column("Namespaces", ".spec.allowedNamespaces", priority=1, description="Whose models may use it."),
    _column("Zones", ".spec.limits.zones", priority=1, description="Zones in which nodes may be made."),
    _column("Forbidden", ".spec.limits.forbiddenFields", priority=1, description="What models must leave out."),
)
_SCALE: Final = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".status.selector",
}


def model_crd() -> Json:
    """The CustomResourceDefinition of MistralModel."""
    names = {"kind": MODEL_KIND, "plural": MODEL_PLURAL, "singular": MODEL_KIND.lower(), "shortNames": ["mm"]}
    subresources = {"status": {}, "scale": _SCALE}
    return _crd(MistralModel, names, scope="Namespaced", columns=_MODEL_COLUMNS, subresources=subresources)


def claim_crd() -> Json:
    """The CustomResourceDefinition of NodePoolClaim."""
    names = {"kind": CLAIM_KIND, "plural": CLAIM_PLURAL, "singular": CLAIM_KIND.lower(), "shortNames": ["npc"]}
    return _crd(NodePoolClaim, names, scope="Cluster", columns=_CLAIM_COLUMNS, subresources={"status": {}})


def class_crd() -> Json:
    """The CustomResourceDefinition of MistralServingClass. It has no status: nothing is done about it."""
    names = {"kind": CLASS_KIND, "plural": CLASS_PLURAL, "singular": CLASS_KIND.lower(), "shortNames": ["msc"]}
    return _crd(MistralServingClass, names, scope="Cluster", columns=_CLASS_COLUMNS, subresources={})


def all_crds() -> dict[str, Json]:
    """Every CustomResourceDefinition by the name of its file."""
    return {f"{GROUP}_{crd['spec']['names']['plural']}.yaml": crd for crd in (model_crd(), claim_crd(), class_crd())}


def render_crd(crd: Json) -> str:
    """The CustomResourceDefinition as YAML, the same on every machine."""
    return _HEAD + yaml.safe_dump(crd, sort_keys=False, width=1_000_000, allow_unicode=True)


def _crd(kind: type[ApiType], names: Json, *, scope: str, columns: tuple[Json, ...], subresources: Json) -> Json:
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": structural_schema(kind)},
        **({"subresources": subresources} if subresources else {}),
        "additionalPrinterColumns": list(columns),
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names['plural']}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {**names, "listKind": f"{names['kind']}List", "categories": ["mistral", "serving"]},
            "scope": scope,
            "versions": [version],
        },
    }


def structural_schema(kind: type[ApiType]) -> Json:
    """The type's schema as Kubernetes wants it: references inlined, no null, no default but the marked ones."""
    raw = kind.model_json_schema(by_alias=True)
    schema = _convert(raw, raw.get("$defs", {}))
    properties = schema["properties"]
    properties["apiVersion"] = {"type": "string", "description": "Version of the API that this object is written in."}
    properties["kind"] = {"type": "string", "description": "Kind of the object."}
    # The API server has its own schema for metadata, and refuses even a description here.
    properties["metadata"] = {"type": "object"}
    schema["required"] = ["metadata", "spec"]
    return schema


def _convert(raw: Mapping[str, Any], definitions: Mapping[str, Any]) -> Json:
    """Convert one node. What stands at the field wins over what stands at the type that it refers to."""
    node = _resolve(raw, definitions)
    schema: Json = {key: node[key] for key in _KEPT if key in node}
    if "description" in schema:
        schema["description"] = " ".join(schema["description"].split())
    if node.get("x-kubernetes-int-or-string"):
        schema["anyOf"] = node["anyOf"]
    if node.get(_SCHEMA_DEFAULT):
        schema["default"] = node["default"]
    if "properties" in node:
        schema["properties"] = {name: _convert(item, definitions) for name, item in node["properties"].items()}
    if "items" in node:
        schema["items"] = _convert(node["items"], definitions)
    if isinstance(node.get("additionalProperties"), dict):
        schema["additionalProperties"] = _convert(node["additionalProperties"], definitions)
    if schema.get("type") == "integer":
        schema["format"] = "int64" if schema.get("maximum", 2**31) >= 2**31 else "int32"
    return schema


def _resolve(raw: Mapping[str, Any], definitions: Mapping[str, Any]) -> Json:
    """Follow `$ref` and drop the null of an optional field."""
    node = dict(raw)
    if "anyOf" in node and not node.get("x-kubernetes-int-or-string"):
        choices = [choice for choice in node.pop("anyOf") if choice.get("type") != "null"]
        if len(choices) != 1:
            raise ValueError(f"a structural schema has no room for alternatives: {choices}")
        node = {**choices[0], **node}
    if "$ref" in node:
        name = node.pop("$ref").removeprefix("#/$defs/")
        node = {**definitions[name], **node}
    return _resolve(node, definitions) if "$ref" in node else node


def main() -> None:
    """Write the generated files, or say which ones are out of date and exit 1."""
    # The page is made from this module, so it is imported when the program runs.
    from mistral_operator.api.reference import render_reference

    parser = argparse.ArgumentParser(prog="python -m mistral_operator.api.schema", description=main.__doc__)
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--write", action="store_true", help="write the files")
    mode.add_argument("--check", action="store_true", help="compare the files and change nothing")
    parser.add_argument("--directory", type=Path, default=Path("crds"), help="where the CRDs are (default: crds)")
    parser.add_argument("--docs", type=Path, help="where api.md is (default: docs/reference beside the CRDs)")
    options = parser.parse_args()
    wanted = {options.directory / name: render_crd(crd) for name, crd in all_crds().items()}
    docs = options.docs or options.directory.parent / "docs" / "reference"
    wanted[docs / "api.md"] = render_reference()
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if options.check and stale:
        parser.exit(
            1, f"out of date: {', '.join(map(str, stale))}; run python -m mistral_operator.api.schema --write\n"
        )
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8")


if __name__ == "__main__":
    main()
