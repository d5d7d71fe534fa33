"""The fences of examples/security fit what the operator renders, and what the catalogue has."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.pod_templates import find_pod_templates

from mistral_operator.api.names import MODEL_LABEL
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.planning.support import judge
from mistral_operator.planning.types import Tier

ROOT = Path(__file__).parents[2]
FENCES = ROOT / "examples" / "security"
GOLDEN = sorted((ROOT / "tests" / "golden").glob("*/manifests.yaml"))
CATALOGUE = load_catalogue()
MONITORING = {"kubernetes.io/metadata.name": "monitoring"}
CLIENTS = {"mistral-models-clients": "true"}
STRANGERS = {"kubernetes.io/metadata.name": "somewhere"}

Labels = Mapping[str, str]


def _read(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FENCES / name).read_text()))


def _selects(selector: Mapping[str, Any], labels: Labels) -> bool:
    """As Kubernetes does it, as far as the examples go; a KeyError for more."""
    unknown = set(selector) - {"matchLabels", "matchExpressions"}
    assert not unknown
    for item in selector.get("matchExpressions", ()):
        assert item["operator"] == "In"
        if labels.get(item["key"]) not in item["values"]:
            return False
    return selector.get("matchLabels", {}).items() <= labels.items()


def _admits(policies: list[dict[str, Any]], target: Labels, pod: Labels, namespace: Labels | None, port: int) -> bool:
    """Whether `pod` reaches the port; a namespace of None is the target's own."""
    here = [item["spec"] for item in policies if _selects(item["spec"]["podSelector"], target)]
    rules = [rule for spec in here for rule in spec["ingress"]]
    return not here or any(
        any(_is_peer(peer, pod, namespace) for peer in rule["from"])
        and ("ports" not in rule or port in [item["port"] for item in rule["ports"]])
        for rule in rules
    )


def _is_peer(peer: Mapping[str, Any], pod: Labels, namespace: Labels | None) -> bool:
    if "namespaceSelector" not in peer:
        return namespace is None and _selects(peer["podSelector"], pod)
    return namespace is not None and _selects(peer["namespaceSelector"], namespace) and "podSelector" not in peer


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.parent.name)
def test_of_a_models_pods_only_the_api_and_metrics_are_reached_and_by_whom_they_are_for(file: Path) -> None:
    policies = _read("network.yaml")
    templates = list(find_pod_templates(list(yaml.safe_load_all(file.read_text()))))
    assert templates
    for kind, template in templates:
        labels = template["metadata"]["labels"]
        ports = {
            port["name"]: port["containerPort"]
            for container in template["spec"]["containers"]
            for port in container.get("ports", ())
        }
        for number in (*ports.values(), 6379, 8265, 9000):
            assert not _admits(policies, labels, {}, STRANGERS, number), (kind, number)
            assert not _admits(policies, labels, {}, None, number), (kind, number)
        assert not any(_admits(policies, labels, {}, CLIENTS, number) for number in (6379, 9000, 9100))
        assert "http" not in ports or _admits(policies, labels, {}, CLIENTS, ports["http"])
        scraped = [ports[name] for name in ("http", "metrics") if name in ports]
        assert all(_admits(policies, labels, {}, MONITORING, number) for number in scraped)


def test_the_hosts_of_a_slice_reach_each_other_on_all_ports_and_no_other_models() -> None:
    policies = _read("network.yaml")
    manifests = list(yaml.safe_load_all((ROOT / "tests/golden/mixtral-tpu-slice/manifests.yaml").read_text()))
    leader, worker = (template["metadata"]["labels"] for kind, template in find_pod_templates(manifests))
    for one, other in ((leader, worker), (worker, leader)):
        assert _admits(policies, one, other, None, 6379)
        assert _admits(policies, one, other, None, 12345)
        assert not _admits(policies, one, {**other, MODEL_LABEL: "another"}, None, 6379)
        assert not _admits(policies, one, other, STRANGERS, 6379)


def test_only_monitoring_reaches_the_operator() -> None:
    policies = _read("operator-network.yaml")
    pod = {"app.kubernetes.io/name": "mistral-operator", "app.kubernetes.io/instance": "any"}
    assert _admits(policies, pod, {}, MONITORING, 8080)
    assert not _admits(policies, pod, {}, STRANGERS, 8080)
    assert not _admits(policies, pod, {}, None, 8080)


def _variable(name: str) -> str:
    variables = {item["name"]: item["expression"] for item in _read("policy.yaml")[0]["spec"]["variables"]}
    return str(variables[name])


def test_the_policy_allows_the_catalogues_single_machines_with_tpus_and_no_slice() -> None:
    allowed = yaml.safe_load(_variable("slices"))
    tpus = [shape for item in CATALOGUE.accelerators.values() if item.kind == "tpu" for shape in item.machines]
    assert sorted(allowed) == sorted({f"{s.machine_type} {s.topology}" for s in tpus if s.hosts == 1})
    assert not {f"{s.machine_type} {s.topology}" for s in tpus if s.hosts > 1} & set(allowed)


def test_no_slice_is_chosen_without_allow_experimental_on_which_the_policy_relies() -> None:
    """When a pair has evidence, the policy has to ask for the hardware in other words."""
    pairs = [
        (model, engine, accelerator, shape)
        for accelerator in CATALOGUE.accelerators.values()
        for shape in accelerator.machines
        for engine in CATALOGUE.engines.values()
        for model in CATALOGUE.models.values()
        if shape.hosts > 1 and not shape.placement_policy and engine.kind == accelerator.kind
    ]
    assert pairs
    for model, engine, accelerator, shape in pairs:
        for precision in engine.precisions:
            verdict = judge(CATALOGUE, model, engine, accelerator, shape.total_devices, precision)
            assert verdict.tier in (Tier.EXPERIMENTAL, Tier.REFUSED), (model.id, engine.id, accelerator.id)
