"""Writes what is made from `cluster.rights`, or checks it: the roles in deploy/ and in the chart, and the page's table.

Usage: python tools/rights.py --write | --check
"""

import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from generated import fill, write_or_check

from mistral_operator.cluster.rights import (
    CLUSTER_GRANTS,
    CONFIG_CONNECTOR_GRANTS,
    LEASE_GRANTS,
    PROVISIONER_GRANTS,
    Grant,
)

ROOT = Path(__file__).parents[1]
MANIFEST = ROOT / "deploy" / "rbac.yaml"
CONFIG_CONNECTOR_MANIFEST = ROOT / "deploy" / "rbac-config-connector.yaml"
PROVISIONERS = {"ComputeClass": ROOT / "deploy" / "compute-class.yaml"}
"""Rights that only one provisioner needs, in a manifest of their own."""
PAGE = ROOT / "docs" / "security.md"
CORE = '""'
"""How a role names the group that has no name."""
TEMPLATE = ROOT / "charts" / "mistral-operator" / "templates" / "_rights.tpl"


def render_rules(grants: Sequence[Grant]) -> str:
    """Rules of a role as YAML, each run of grants with the same reason under that reason."""
    lines: list[str] = []
    for why, run in groupby(grants, lambda grant: grant.why):
        lines.append(f"# {why}")
        for _, alike in groupby(run, lambda grant: (grant.kind.group, grant.verbs, grant.names)):
            lines += _rule(list(alike))
    return "".join(f"{line}\n" for line in lines)


def _rule(grants: Sequence[Grant]) -> Iterator[str]:
    first = grants[0]
    yield f"- apiGroups: [{first.kind.group or CORE}]"
    yield f"  resources: [{', '.join(grant.resource for grant in grants)}]"
    if first.names:
        yield f"  resourceNames: [{', '.join(first.names)}]"
    yield f"  verbs: [{', '.join(first.verbs)}]"


def render_table() -> str:
    """The table for people."""
    rows = ["| Objects | Verbs | Why |", "| --- | --- | --- |"]
    further = [grant for grants in PROVISIONER_GRANTS.values() for grant in grants]
    grants = (*CLUSTER_GRANTS, *further, *LEASE_GRANTS, *CONFIG_CONNECTOR_GRANTS)
    for (why, verbs, names), run in groupby(grants, lambda g: (g.why, g.verbs, g.names)):
        objects = ", ".join(_qualify(grant) for grant in run)
        only = f", only {', '.join(f'`{name}`' for name in names)}" if names else ""
        rows.append(f"| {objects}{only} | {', '.join(verbs)} | {why} |")
    return "\n".join(["", *rows, "", ""])


def _qualify(grant: Grant) -> str:
    """A resource by the name that `kubectl auth can-i` takes."""
    group = f".{grant.kind.group}" if grant.kind.group else ""
    return f"`{grant.kind.plural}{group}{f'/{grant.subresource}' if grant.subresource else ''}`"


def render_template() -> str:
    """The chart's rules as named templates."""
    provisioners = [(f"rulesOf{name}", grants) for name, grants in PROVISIONER_GRANTS.items()]
    parts = (
        ("clusterRules", CLUSTER_GRANTS),
        *provisioners,
        ("leaseRules", LEASE_GRANTS),
        ("configConnectorRules", CONFIG_CONNECTOR_GRANTS),
    )
    head = "{{- /* Generated from operator/mistral_operator/cluster/rights.py by make crds; do not edit. */ -}}\n"
    return head + "".join(
        f'{{{{- define "mistral-operator.{name}" -}}}}\n{render_rules(grants)}{{{{- end }}}}\n'
        for name, grants in parts
    )


def _indent(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())


def render_files() -> dict[Path, str]:
    """Every file that depends on the table, as it should be."""
    roles = (_indent(render_rules(CLUSTER_GRANTS)), _indent(render_rules(LEASE_GRANTS)))
    objects = [_indent(render_rules(CONFIG_CONNECTOR_GRANTS))]
    return {
        MANIFEST: fill(MANIFEST.read_text(encoding="utf-8"), "# {}", roles),
        CONFIG_CONNECTOR_MANIFEST: fill(CONFIG_CONNECTOR_MANIFEST.read_text(encoding="utf-8"), "# {}", objects),
        PAGE: fill(PAGE.read_text(encoding="utf-8"), "<!-- {} -->", [render_table()]),
        TEMPLATE: render_template(),
        **{
            file: fill(file.read_text(encoding="utf-8"), "# {}", [_indent(render_rules(PROVISIONER_GRANTS[name]))])
            for name, file in PROVISIONERS.items()
        },
    }


if __name__ == "__main__":
    sys.exit(write_or_check(__doc__, render_files(), sys.argv[1:]))
