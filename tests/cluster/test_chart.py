"""The chart by the real helm on a real API server: rendered, refused, installed, upgraded, taken away."""

import json
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.released.releases import RELEASES
from tests.support.helm import IMAGE, Helm, only
from tests.support.kubectl import kubectl
from tests.support.light_stack import light_stack
from tests.support.mounted_config_map import EXAMPLE_FILES
from tests.support.polling import eventually
from tests.support.stack import Operator, Stack, make_namespace

from mistral_operator.sandbox.control_plane import ControlPlane
from mistral_operator.sandbox.crds import install_crds
from mistral_operator.sandbox.kube import Kube, KubeError
from mistral_operator.sandbox.neighbours.find import find_program
from mistral_operator.sandbox.processes import ProcessGroup

MODEL = "mistral-7b-v0.3"
LAST_RELEASE = RELEASES[-1] / "chart"
FIRST, SECOND = "inference", "platform-two"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CRD = f"{CRDS}/nodepoolclaims.serving.mistral-operator.dev"
LONG = "a-release-whose-name-is-just-as-long-as-helm-allows-x"
MOST_SECRET_BYTES = 200_000
"""helm keeps a release in a Secret, which may have 1 MiB."""

VALUES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "everything": {
        "image": {"digest": f"sha256:{'0' * 64}", "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "registry"}],
        "fullnameOverride": "mistral",
        "project": "a-project",
        "location": "us-central1",
        "cluster": "a-cluster",
        "provisioners": ["ContainerAPI", "ConfigConnector"],
        "zones": ["us-central1-a", "us-central1-b"],
        "images": {"vllm-gpu": "registry.example/vllm:v1", "gateway": "registry.example/gateway@sha256:1"},
        "catalogue": {"configMap": "our-models", "files": EXAMPLE_FILES},
        "logLevel": "debug",
        "replicas": 1,
        "serviceAccount": {
            "googleServiceAccount": "mistral-operator@a-project.iam.gserviceaccount.com",
            "annotations": {"example.com/team": "inference"},
        },
        "monitoring": {"kind": "Annotations"},
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"cloud.google.com/gke-nodepool": "system"},
        "tolerations": [{"key": "system", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"podAntiAffinity": {}},
        "podAnnotations": {"example.com/note": "yes"},
        "podLabels": {"example.com/team": "inference", "app.kubernetes.io/name": "somebody-else"},
        "extraArgs": ["--cloud-backoff-scale=2"],
        "extraEnv": [{"name": "GRPC_VERBOSITY", "value": "ERROR"}],
    },
    "little": {
        "crds": {"install": False},
        "serviceAccount": {"create": False, "name": "default"},
        "podDisruptionBudget": {"create": False},
        "resources": {"requests": {"cpu": 1}, "limits": None},
    },
}


@pytest.fixture(scope="session")
def helm_program(pytestconfig: pytest.Config) -> Path:
    """helm itself, built once."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def say(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(text, flush=True)

    return find_program("helm", say)


@pytest.fixture
def helm(helm_program: Path, tmp_path: Path) -> Helm:
    """helm without a cluster."""
    return Helm(helm_program, tmp_path / "helm")


@pytest.mark.parametrize("name", VALUES)
async def test_what_is_rendered_is_valid(
    helm: Helm, cluster: ControlPlane, namespace: str, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(VALUES[name]))
    await helm.done("lint", "--strict", helm.chart, "-f", file, *helm.sets({}))
    rendered = await helm.render("mo", namespace, "-f", file)
    assert "CustomResourceDefinition" in {document["kind"] for document in rendered} or name == "little"
    await _accept(cluster, rendered, tmp_path)


@pytest.mark.parametrize("kind", ["PodMonitoring", "PodMonitor"])
async def test_monitoring_objects_are_valid(
    helm: Helm, cluster: ControlPlane, namespace: str, tmp_path: Path, kind: str
) -> None:
    rendered = await helm.render("mo", namespace, monitoring__kind=kind, monitoring__labels__team="a")
    found = only(rendered, kind)
    selector = found["spec"]["selector"]["matchLabels"]
    assert selector.items() <= only(rendered, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    schemas = os.environ.get("MISTRAL_OPERATOR_CRDS")
    if not schemas:
        pytest.skip(
            "MISTRAL_OPERATOR_CRDS names no folder with the definitions of others, so the schema is unknown here"
        )
    wanted = _copy(Path(schemas), f"monitoring.*_{kind.lower()}s.yaml", tmp_path / "crds")
    async with Kube(cluster.kubeconfig) as kube:
        assert await install_crds(kube, wanted)
    await _accept(cluster, [found], tmp_path)


def _copy(source: Path, pattern: str, target: Path) -> Path:
    target.mkdir()
    for file in source.glob(pattern):
        shutil.copy(file, target)
    return target


async def _accept(cluster: ControlPlane, documents: list[dict[str, Any]], directory: Path) -> None:
    """The API server takes them, strictly, without keeping any."""
    file = directory / "rendered.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    flags = ("--server-side", "--dry-run=server", "--validate=strict", "--force-conflicts")
    answer = await kubectl(cluster, "apply", *flags, "-f", file)
    assert (answer.code, answer.errors) == (0, "")


async def test_values_reach_the_operator(helm: Helm, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(VALUES["everything"]))
    rendered = await helm.render("mo", "system", "-f", file)
    assert {document["metadata"]["name"] for document in rendered if document["kind"] == "Deployment"} == {"mistral"}
    template = only(rendered, "Deployment")["spec"]["template"]
    (container,) = template["spec"]["containers"]
    assert container["image"] == f"{IMAGE}@sha256:{'0' * 64}"
    assert {
        "--lease-namespace=system",
        "--project=a-project",
        "--zones=us-central1-a,us-central1-b",
        "--image=vllm-gpu=registry.example/vllm:v1",
        "--image=gateway=registry.example/gateway@sha256:1",
        "--verbose",
        "--cloud-backoff-scale=2",
    } <= set(container["args"])
    assert template["metadata"]["labels"]["app.kubernetes.io/name"] == "mistral-operator"
    assert template["metadata"]["annotations"]["prometheus.io/port"] == "8080"
    notes = only(rendered, "ServiceAccount")["metadata"]["annotations"]
    assert notes["iam.gke.io/gcp-service-account"] == "mistral-operator@a-project.iam.gserviceaccount.com"


async def test_the_catalogues_files_become_the_config_map_that_is_mounted(helm: Helm, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(VALUES["everything"]))
    rendered = await helm.render("mo", "system", "-f", file)
    made = only(rendered, "ConfigMap")
    assert (made["metadata"]["name"], made["metadata"]["namespace"]) == ("our-models", "system")
    assert made["data"] == EXAMPLE_FILES
    assert _mounted_at(rendered, "our-models") == _catalogue_directory(rendered)


async def test_a_config_map_of_ones_own_is_mounted_and_may_be_absent(helm: Helm, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump({"catalogue": {"configMap": "1234"}}))
    rendered = await helm.render("mo", "system", "-f", file)
    assert not [document for document in rendered if document["kind"] == "ConfigMap"]
    assert _mounted_at(rendered, "1234") == _catalogue_directory(rendered)


def _mounted_at(rendered: list[dict[str, Any]], name: str) -> str:
    """Where the ConfigMap is mounted, as one that may be absent."""
    pod = only(rendered, "Deployment")["spec"]["template"]["spec"]
    (volume,) = [item for item in pod["volumes"] if item.get("configMap") == {"name": name, "optional": True}]
    (mount,) = [item for item in pod["containers"][0]["volumeMounts"] if item["name"] == volume["name"]]
    # The kubelet never changes a file that is mounted by itself.
    assert "subPath" not in mount
    return str(mount["mountPath"])


def _catalogue_directory(rendered: list[dict[str, Any]]) -> str:
    """Where the operator looks."""
    args = only(rendered, "Deployment")["spec"]["template"]["spec"]["containers"][0]["args"]
    (found,) = [arg for arg in args if arg.startswith("--catalogue-directory=")]
    return str(found).partition("=")[2]


async def test_the_gateway_is_the_operators_own_image(helm: Helm) -> None:
    (container,) = only(await helm.render("mo", "system"), "Deployment")["spec"]["template"]["spec"]["containers"]
    assert f"--image=gateway={container['image']}" in container["args"]


async def test_long_names_stay_valid_and_apart(
    helm: Helm, cluster: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    """helm's limit is 53 characters; two such releases that differ at the end have no name in common."""
    ours = await helm.render(LONG, namespace)
    await _accept(cluster, ours, tmp_path)
    others = await helm.render(f"{LONG[:-1]}y", namespace)

    def names(documents: list[dict[str, Any]]) -> set[tuple[str, str]]:
        return {(d["kind"], d["metadata"]["name"]) for d in documents if d["kind"] != "CustomResourceDefinition"}

    assert len(LONG) == 53
    assert not names(ours) & names(others)


async def test_cluster_wide_names_hold_release_and_namespace(helm: Helm) -> None:
    """Also where the parts, written together, would be the same."""
    pairs = [
        ("mistral-operator", "a"),
        ("mistral-operator", "b"),
        ("mistral-operator-a", "b"),
        ("mistral-operator", "a-b"),
    ]
    names = {only(await helm.render(*pair), "ClusterRole")["metadata"]["name"] for pair in pairs}
    assert len(names) == len(pairs)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"image.repository": ""}, "docker push"),
        ({"image.repository": "", "image.tag": "v9"}, "$IMAGE:v9"),
        ({"image.repositry": "a"}, "additional properties 'repositry' not allowed"),
        ({"replica": "2"}, "additional properties 'replica' not allowed"),
        ({"watchNamespaces": "a"}, "additional properties 'watchNamespaces' not allowed"),
        ({"image.digest": "sha256:1"}, "/image/digest"),
        ({"zones[0]": "us-central1"}, "/zones/0"),
        ({"images.vllm-gpu": "a b"}, "/images/vllm-gpu"),
        ({"catalogue.files.prices\\.yml": "a"}, "support|prices"),
        ({"catalogue.files.prices\\.yaml.region": "a"}, "/catalogue/files"),
        ({"catalogue.configMap": ""}, "/catalogue/configMap"),
        ({"serviceAccount.googleServiceAccount": "somebody@example.com"}, "/serviceAccount/googleServiceAccount"),
        ({"serviceAccount.create": "false"}, "serviceAccount.name"),
        ({"monitoring.kind": "ServiceMonitor"}, "/monitoring/kind"),
    ],
)
async def test_wrong_values_are_refused(helm: Helm, values: dict[str, str], said: str) -> None:
    answer = await helm.run("template", "mo", helm.chart, *helm.sets(values))
    assert answer.code != 0
    assert said in answer.errors


@pytest.fixture
async def site(helm: Helm, tmp_path: Path) -> AsyncIterator[tuple[Stack, ControlPlane, Helm]]:
    """A sandbox that knows nothing of the operator, with two namespaces that only admit well secured pods."""
    async with light_stack(tmp_path / "sandbox", crds=None) as (stack, plane):
        for namespace in (FIRST, SECOND):
            await make_namespace(stack.kube, namespace)
            labels = {"pod-security.kubernetes.io/enforce": "restricted"}
            await stack.kube.merge_patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": labels}})
        yield stack, plane, replace(helm, kubeconfig=plane.kubeconfig)


async def run_as_deployed(operator: Operator, stack: Stack, plane: ControlPlane, release: str, namespace: str) -> None:
    """Give the process what the release's pods would have: their ServiceAccount and their arguments."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    (found,) = [
        item
        for item in (await stack.kube.request("GET", path))["items"]
        if item["metadata"]["labels"]["app.kubernetes.io/instance"] == release
    ]
    pod = found["spec"]["template"]["spec"]
    command, *operator.args = pod["containers"][0]["args"]
    assert command == "run"
    file = stack.sandbox.directory / f"{release}.kubeconfig"
    operator.kubeconfig = await plane.service_account_kubeconfig(namespace, pod["serviceAccountName"], file)


async def test_a_release_serves_upgrades_and_goes_and_its_models_stay(
    site: tuple[Stack, ControlPlane, Helm], tmp_path: Path
) -> None:
    stack, plane, helm = site
    older = shutil.copytree(LAST_RELEASE, tmp_path / "older")
    _drop_column(older / "files" / "crds" / "serving.mistral-operator.dev_nodepoolclaims.yaml", "Tenant")
    notes = await replace(helm, chart=older).install("chat-models", FIRST)
    assert "kubectl delete mistralmodels --all --all-namespaces" in notes
    assert "WARNING" not in notes
    assert "NOTE:" not in notes
    await _expect_pods(stack, FIRST)
    await run_as_deployed(stack.operator, stack, plane, "chat-models", FIRST)
    stack.operator.start()
    await _expect_served_kinds(stack)
    await stack.apply("chat", model=MODEL)
    await stack.expect_ready("chat")
    assert "older than this operator: it does not declare status.plan.chosen." in stack.operator.log(2000)

    assert "Tenant" not in await _columns(stack)
    await helm.upgrade("chat-models", FIRST, "--reset-then-reuse-values", workers="7")
    assert "Tenant" in await _columns(stack)
    await _expect_served_kinds(stack)
    await run_as_deployed(stack.operator, stack, plane, "chat-models", FIRST)
    assert "--workers=7" in stack.operator.args
    await _expect_small_secrets(stack, FIRST)

    await stack.operator.stop()
    kept = [child["metadata"]["uid"] for child in await stack.children("Deployment")]
    await helm.done("uninstall", "chat-models", "-n", FIRST)
    assert [child["metadata"]["uid"] for child in await stack.children("Deployment")] == kept
    assert len(await stack.claims()) == 1
    await stack.expect("chat", "Ready", "True")

    notes = await helm.install("another", SECOND)
    assert f"nodepoolclaims.serving.mistral-operator.dev belongs to {FIRST}/chat-models" in notes
    await helm.upgrade("another", SECOND, "--reset-then-reuse-values", "--take-ownership", crds__adopt="true")
    assert (await stack.kube.get(CRD) or {})["metadata"]["annotations"]["meta.helm.sh/release-name"] == "another"
    await _expect_served_kinds(stack)
    await run_as_deployed(stack.operator, stack, plane, "another", SECOND)
    stack.operator.start()
    await stack.scale("chat", 2)
    await stack.expect_ready("chat", replicas=2)
    await stack.delete("chat")
    await stack.expect_no_trace()
    await stack.operator.stop()
    log = stack.operator.log(2000)
    assert "forbidden" not in log.lower()


async def test_two_releases_share_definitions_and_a_lease(site: tuple[Stack, ControlPlane, Helm]) -> None:
    stack, plane, helm = site
    await helm.install("one", FIRST)
    notes = await helm.install("one", SECOND)
    assert f"belongs to {FIRST}/one" in notes
    assert f"WARNING: another operator (mistral-operator:{FIRST}:one-mistral-operator)" in notes
    notes = await helm.upgrade("one", SECOND, leaderElection__namespace=FIRST)
    assert "WARNING" not in notes
    await run_as_deployed(stack.operator, stack, plane, "one", FIRST)
    stack.operator.start()
    await eventually(lambda: "Leading as" in stack.operator.log(500), 60, stack.story)
    with ProcessGroup() as processes:
        other = Operator(stack.sandbox, processes, stack.sandbox.kubeconfig)
        await run_as_deployed(other, stack, plane, "one", SECOND)
        other.start()
        waiting = f"Waiting for the Lease {FIRST}/mistral-operator"
        await eventually(lambda: stack.operator.log(500).count(waiting) == 2, 60, stack.story)
        await _expect_served_kinds(stack)
        await stack.apply("chat", model=MODEL)
        await stack.expect_ready("chat")
        await stack.operator.stop()
        await helm.done("uninstall", "one", "-n", FIRST)
        await stack.scale("chat", 2)
        await stack.expect_ready("chat", replicas=2)
        assert await stack.kube.get(CRD)
        await other.stop()


def _drop_column(file: Path, name: str) -> None:
    """Make the definition that of an older version."""
    crd = yaml.safe_load(file.read_text())
    version = crd["spec"]["versions"][0]
    version["additionalPrinterColumns"] = [c for c in version["additionalPrinterColumns"] if c["name"] != name]
    file.write_text(yaml.safe_dump(crd, sort_keys=False))


async def _columns(stack: Stack) -> set[str]:
    crd = await stack.kube.get(CRD)
    assert crd
    return {column["name"] for column in crd["spec"]["versions"][0]["additionalPrinterColumns"]}


async def _expect_served_kinds(stack: Stack) -> None:
    """For a moment a new kind is not there, and a new or changed one still being set up, which is no other's fault."""
    group = "/apis/serving.mistral-operator.dev/v1alpha1"
    paths = (f"{group}/namespaces/{stack.namespace}/mistralmodels", f"{group}/nodepoolclaims")

    async def served() -> bool:
        try:
            return None not in [await stack.kube.get(path) for path in paths]
        except KubeError:
            return False

    await eventually(served, message="the operator's kinds are served")


async def _expect_pods(stack: Stack, namespace: str) -> None:
    """Both pods are admitted and scheduled; nothing but time runs in them."""

    async def running() -> bool:
        pods = (await stack.kube.request("GET", f"/api/v1/namespaces/{namespace}/pods"))["items"]
        return [pod["status"]["phase"] for pod in pods] == ["Running", "Running"]

    await eventually(running, 60, lambda: f"two pods in {namespace}")


async def _expect_small_secrets(stack: Stack, namespace: str) -> None:
    secrets = (await stack.kube.request("GET", f"/api/v1/namespaces/{namespace}/secrets"))["items"]
    releases = [secret for secret in secrets if secret["type"] == "helm.sh/release.v1"]
    assert len(releases) == 2
    assert max(len(json.dumps(secret)) for secret in releases) < MOST_SECRET_BYTES
