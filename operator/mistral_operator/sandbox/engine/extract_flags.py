"""Reads vLLM's sources and writes the list of flags that the stand-in accepts.

    python -m mistral_operator.sandbox.engine.extract_flags DIRECTORY VERSION > vllm_flags.yaml

DIRECTORY holds the unpacked wheel (the folder above `vllm/`). vLLM derives its flags from its configuration classes
(`vllm/engine/arg_utils.py`, `vllm/entrypoints/common/cli_args.py`); importing those needs a GPU's worth of packages, so
the same rules are followed here over the syntax tree.
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Flag = dict[str, Any]
Flags = dict[str, Flag]
Fields = dict[str, ast.expr]

HUMAN_INTEGERS = frozenset(
    {
        "max_num_batched_tokens",
        "max_num_scheduled_tokens",
        "kv_cache_memory_bytes",
        "safetensors_prefetch_block_size",
        "max_num_queued_tokens",
    }
)
# What add_cli_args changes after the classes were read (the comments there begin with "Special case").
JSON_FLAGS: tuple[str, ...] = (
    "--speculative-config",
    "--watermark-config",
    "--diffusion-config",
    "--reasoning-effort-map",
)
JSON_FLAGS += ("--default-chat-template-kwargs", "--allowed-origins", "--allowed-methods", "--allowed-headers")
TRANSPARENT = frozenset({"Annotated", "SkipValidation", "InitVar", "ClassVar", "Final"})


@dataclass(slots=True)
class Sources:
    """Type aliases and configuration classes by name, over all modules read."""

    aliases: dict[str, ast.expr] = field(default_factory=dict)
    classes: dict[str, Fields] = field(default_factory=dict)
    dictionaries: set[str] = field(default_factory=set)

    def read(self, path: Path) -> None:
        """Take the aliases and classes of one module; the first definition of a name stays."""
        for node in ast.parse(path.read_text()).body:
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self.aliases.setdefault(name, value)
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    self.aliases.setdefault(name, value)
                case ast.ClassDef() if any("config" in ast.unparse(d) for d in node.decorator_list):
                    self.classes.setdefault(node.name, self._fields(node))
                case ast.ClassDef() if any(ast.unparse(base).startswith("dict") for base in node.bases):
                    self.dictionaries.add(node.name)

    def _fields(self, node: ast.ClassDef) -> Fields:
        fields: Fields = {}
        for base in node.bases:
            fields |= self.classes.get(ast.unparse(base), {})
        for item in node.body:
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                fields[item.target.id] = item.annotation
        return fields

    def alternatives(self, hint: ast.expr) -> Iterator[ast.expr]:
        """The members of a union, aliases followed and wrappers taken off."""
        match hint:
            case ast.BinOp(op=ast.BitOr(), left=left, right=right):
                yield from self.alternatives(left)
                yield from self.alternatives(right)
            case ast.Subscript(value=ast.Name(id="Union" | "Optional" as name), slice=inner):
                for part in inner.elts if isinstance(inner, ast.Tuple) else [inner]:
                    yield from self.alternatives(part)
                if name == "Optional":
                    yield ast.Constant(None)
            case ast.Subscript(value=ast.Name(id=name), slice=inner) if name in TRANSPARENT:
                yield from self.alternatives(inner.elts[0] if isinstance(inner, ast.Tuple) else inner)
            case ast.Constant(value=str() as text):
                yield from self.alternatives(ast.parse(text, mode="eval").body)
            case ast.Name(id=name) if name in self.aliases and name not in self.classes:
                yield from self.alternatives(self.aliases[name])
            case _:
                yield hint


def describe(name: str, hint: ast.expr, sources: Sources) -> Flag:
    """A flag's kind, choices and arity, by the order of tests of vLLM's own `_compute_kwargs`."""
    parts = list(sources.alternatives(hint))
    plain = {ast.unparse(part) for part in parts}
    heads = {ast.unparse(part.value) if isinstance(part, ast.Subscript) else ast.unparse(part) for part in parts}
    heads = {"dict" if head in sources.dictionaries else head for head in heads}
    optional: Flag = {"optional": True} if "None" in plain else {}
    if any(head in sources.classes for head in heads):
        return {"kind": "json"} | optional
    if plain == {"bool", "str", "None"}:
        return {"kind": "str", "nargs": "?"}
    if "bool" in heads:
        return {"kind": "bool"}
    if "Literal" in heads:
        return _choices(parts, sources, open_ended="str" in heads) | optional
    for sequence in ("tuple", "list", "set"):
        if sequence in heads:
            return _sequence(parts, sequence, sources) | optional
    return {"kind": _scalar(name, heads)} | optional


def _scalar(name: str, heads: set[str]) -> str:
    if "int" in heads:
        if name == "max_model_len":
            return "human_int_or_auto"
        return "human_int" if name in HUMAN_INTEGERS else "int"
    if "float" in heads:
        return "float"
    if "dict" in heads:
        return "json" if heads <= {"dict", "None"} else "json_or_str"
    return "str"


def _literal_values(node: ast.expr, sources: Sources) -> list[Any]:
    values: list[Any] = []
    inner = node.slice if isinstance(node, ast.Subscript) else node
    for item in inner.elts if isinstance(inner, ast.Tuple) else [inner]:
        if isinstance(item, ast.Constant):
            values.append(item.value)
        else:
            for part in sources.alternatives(item):
                values += [part.value] if isinstance(part, ast.Constant) else _literal_values(part, sources)
    return values


def _choices(parts: list[ast.expr], sources: Sources, *, open_ended: bool) -> Flag:
    literals = [p for p in parts if isinstance(p, ast.Subscript) and ast.unparse(p.value) == "Literal"]
    # With `str` beside the Literal the command line takes any text, and a later check may still refuse it.
    values = sorted({value for literal in literals for value in _literal_values(literal, sources)})
    kind = "int" if all(isinstance(value, int) for value in values) else "str"
    return {"kind": kind, "known" if open_ended else "choices": values}


def _sequence(parts: list[ast.expr], sequence: str, sources: Sources) -> Flag:
    node = next(p for p in parts if ast.unparse(p).startswith(sequence))
    inner = node.slice if isinstance(node, ast.Subscript) else ast.Name("str")
    elements = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    members = list(sources.alternatives(elements[0]))
    flag: Flag = {"kind": "str"}
    if len(members) == 1:
        flag = describe("", members[0], sources)
    endless = sequence != "tuple" or any(ast.unparse(e) == "..." for e in elements)
    return flag | {"nargs": "+" if endless else len(elements)}


def engine_flags(module: ast.Module, sources: Sources) -> Flags:
    """Flags of every `add_argument("--name", **x_kwargs["field"])` in arg_utils."""
    groups: dict[str, str] = {}
    flags: Flags = {}
    for node in ast.walk(module):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if "_kwargs" in name:
                groups[name] = ast.unparse(value)
            case ast.Call(func=ast.Attribute(attr="add_argument")):
                names = [a.value for a in node.args if isinstance(a, ast.Constant) and str(a.value).startswith("-")]
                if names:
                    flags[str(names[0])] = _added(node, groups, sources) | (
                        {"aliases": names[1:]} if len(names) > 1 else {}
                    )
    return flags


def _added(node: ast.Call, groups: dict[str, str], sources: Sources) -> Flag:
    keywords = {k.arg: k.value for k in node.keywords if k.arg}
    action = ast.unparse(keywords["action"]) if "action" in keywords else ""
    if "BooleanOptionalAction" in action:
        return {"kind": "bool"}
    if action == "'store_true'":
        return {"kind": "switch"}
    spread = " ".join(ast.unparse(k.value) for k in node.keywords if k.arg is None)
    if spread in groups:
        spread = groups[spread]
    if match := re.search(r"(?:get_kwargs\((\w+)\)|(\w+_kwargs))\['(\w+)'\]", spread):
        configuration, group, name = match.groups()
        configuration = configuration or groups[group].removeprefix("get_kwargs(").rstrip(")")
        return describe(name, sources.classes[configuration][name], sources)
    if "choices" in keywords and isinstance(keywords["choices"], ast.List):
        return {"kind": "str", "choices": ast.literal_eval(keywords["choices"])}
    return {"kind": "int" if ast.unparse(keywords.get("type", ast.Name("str"))) == "int" else "str"}


def extract(root: Path) -> Flags:
    """All flags of `vllm serve`, by name."""
    sources = Sources()
    arguments, frontend = root / "vllm/engine/arg_utils.py", root / "vllm/entrypoints/common/cli_args.py"
    for path in [*sorted((root / "vllm/config").rglob("*.py")), frontend, *sorted((root / "vllm").rglob("*.py"))]:
        if path == frontend or "Literal[" in path.read_text() or path.is_relative_to(root / "vllm/config"):
            sources.read(path)
    flags: Flags = {}
    for name, hint in sources.classes["FrontendArgs"].items():
        flags["--" + name.replace("_", "-")] = describe(name, hint, sources)
    flags |= engine_flags(ast.parse(frontend.read_text()), sources)
    flags |= engine_flags(ast.parse(arguments.read_text()), sources)
    for name in JSON_FLAGS:
        flags[name] = {"kind": "json"}
    flags["--lora-modules"] = {"kind": "str", "nargs": "+"}
    flags["--middleware"] = {"kind": "str", "repeated": True}
    return dict(sorted(flags.items()))


def main() -> None:
    """Print the data file."""
    root, version = Path(sys.argv[1]), sys.argv[2]
    document = {"version": version, "flags": extract(root)}
    print(f"# Made by extract_flags.py from vLLM {version}'s sources; don't edit.")
    print(yaml.safe_dump(document, sort_keys=False, width=200, default_flow_style=None), end="")


if __name__ == "__main__":
    main()
