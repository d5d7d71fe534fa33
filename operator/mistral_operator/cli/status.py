"""`status NAME`: one model's story, from the cluster."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from mistral_operator.cli.inputs import Inputs, inputs_to_dict, to_yaml
from mistral_operator.cli.observe import Belongings, add_nodes, read_belongings, read_classes
from mistral_operator.cli.output import say
from mistral_operator.cli.profile import DEFAULT, read_profile
from mistral_operator.cli.settings import offline_settings
from mistral_operator.cli.story import tell
from mistral_operator.cluster.capabilities import discover
from mistral_operator.cluster.client import ApiClient
from mistral_operator.cluster.errors import ApiError
from mistral_operator.cluster.kinds import NODE
from mistral_operator.controller.existing_nodes import read_node
from mistral_operator.core.types import Observed
from mistral_operator.planning.nodes import merge_groups, read_group
from mistral_operator.planning.provisioner_advice import GKE
from mistral_operator.planning.types import ClusterProfile

_REGION = "topology.kubernetes.io/region"
_ZONE = "topology.kubernetes.io/zone"
_GKE_LABELS = "cloud.google.com/gke-"


@click.command()
@click.argument("name")
@click.option("-n", "--namespace", default="default", show_default=True, help="Namespace of the model.")
@click.option("--kubeconfig", type=click.Path(path_type=Path), envvar="KUBECONFIG", help="Else the usual places.")
@click.option(
    "--export-inputs", type=click.Path(path_type=Path), help="Write what the operator sees, for `render --inputs`."
)
@click.option(
    "--cluster-profile", type=click.Path(path_type=Path), help="For --export-inputs: else read from the nodes."
)
def status(
    name: str, namespace: str, kubeconfig: Path | None, export_inputs: Path | None, cluster_profile: Path | None
) -> None:
    """Tell the story of one model: conditions, timeline, node pools, pods, cost, and what to do next.

    Exits with 1 when there is no such model, and with 0 whatever its state.
    """
    try:
        observing = _observe(name, namespace, kubeconfig, cluster_profile, with_classes=export_inputs is not None)
        belongings, cluster = asyncio.run(observing)
    except ApiError as error:
        raise click.ClickException(str(error)) from None
    if belongings is None:
        raise click.ClickException(f"there is no MistralModel {name} in namespace {namespace}")
    if export_inputs:
        export_inputs.write_text(to_yaml(inputs_to_dict(_record(belongings, cluster))), encoding="utf-8")
        say(f"Wrote {export_inputs}; use it with: mistral-operator render --inputs {export_inputs}")
        return
    for line in tell(belongings, datetime.now(UTC)):
        say(line)


async def _observe(
    name: str, namespace: str, kubeconfig: Path | None, profile: Path | None, *, with_classes: bool
) -> tuple[Belongings | None, ClusterProfile]:
    """Serving classes are read only where they are needed: who looks at a model may not see them."""
    client = await ApiClient.connect(kubeconfig)
    try:
        belongings = await read_belongings(client, name, namespace)
        if belongings and with_classes:
            belongings = replace(belongings, serving_classes=await read_classes(client))
            belongings = await add_nodes(client, belongings)
        cluster = read_profile(profile) if profile else await discover_profile(client)
        return belongings, cluster
    finally:
        await client.close()


def _record(belongings: Belongings, cluster: ClusterProfile) -> Inputs:
    observed = Observed(
        cluster=cluster,
        children=belongings.children,
        pods=belongings.pods,
        pod_events=belongings.pod_events,
        claims=belongings.claims,
        nodes=belongings.nodes,
        machines=belongings.machines,
        pools=belongings.pools,
        serving_classes=belongings.serving_classes,
    )
    settings = offline_settings()
    return Inputs(model=belongings.model, observed=observed, settings=settings, now=datetime.now(UTC))


async def discover_profile(client: ApiClient) -> ClusterProfile:
    """What the nodes' labels say of the cluster; the offline default where there is no node."""
    nodes = (await client.list(NODE)).items
    labels: list[dict[str, Any]] = [node["metadata"].get("labels") or {} for node in nodes]
    regions = sorted({label[_REGION] for label in labels if _REGION in label})
    zones = tuple(sorted({label[_ZONE] for label in labels if _ZONE in label}))
    served = await discover(client)
    known = bool(regions and zones)
    on_gke = not labels or any(key.startswith(_GKE_LABELS) for label in labels for key in label)
    there = map(read_node, nodes)
    return ClusterProfile(
        provider=GKE if on_gke else "None",
        project="",
        location=regions[0] if known else DEFAULT.location,
        cluster="",
        zones=zones if known else DEFAULT.zones,
        custom_metrics=served.custom_metrics,
        leader_worker_set=served.leader_worker_set,
        provisioners=DEFAULT.provisioners,
        nodes=merge_groups(read_group(node.labels, node.allocatable, node.taints) for node in there),
    )
