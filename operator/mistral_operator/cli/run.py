"""`run`: the operator itself. Each option can also be given as MISTRAL_OPERATOR_RUN_<OPTION> in the environment."""

import asyncio
from pathlib import Path
from typing import Any

import click

from mistral_operator import __version__
from mistral_operator.capacity.drift import DriftPolicy
from mistral_operator.capacity.errors import CloudError
from mistral_operator.capacity.slice_upgrades import SliceUpgrades
from mistral_operator.cli.ladder import ladder_options, take_ladder_settings
from mistral_operator.cli.lists import list_option
from mistral_operator.cli.place import COMPUTE_OPTION, take_endpoint
from mistral_operator.cluster.errors import ApiError
from mistral_operator.controller.options import RunOptions
from mistral_operator.controller.place import UnknownPlaceError
from mistral_operator.planning.types import Provisioner, Settings

_DEFAULT = RunOptions()


@click.command()
@click.option("--kubeconfig", type=click.Path(path_type=Path, exists=True), help="Else the pod's service account.")
@click.option("--project", default="", help="Google Cloud project. Discovered on GKE.")
@click.option("--location", default="", help="Region or zone of the cluster. Discovered on GKE.")
@click.option("--cluster", default="", help="Name of the cluster. Discovered on GKE.")
@list_option("--zones", metavar="ZONE,…", help="Zones for node pools. The cluster's own when left out.")
@list_option(
    "--provisioner",
    "provisioners",
    known=[item.value for item in Provisioner],
    default=[Provisioner.CONTAINER_API.value],
    show_default=True,
    help="What may make node pools, one or several. Each needs rights of its own.",
)
@click.option(
    "--container-api", callback=take_endpoint, default="", metavar="URL", help="A simulated GKE instead of Google's."
)
@COMPUTE_OPTION
@click.option(
    "--live-checks/--no-live-checks",
    default=True,
    show_default=True,
    help="Ask Compute Engine, now and then, for what GKE would refuse before a pool is created.",
)
@click.option(
    "--cloud-backoff-scale",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="Multiplies the waits after refusals of the cloud, and between lists of its pools; for a simulated one.",
)
@click.option("--health-host", default=_DEFAULT.health_host, show_default=True, help="Address for health and metrics.")
@click.option("--health-port", type=click.IntRange(0, 65535), default=_DEFAULT.health_port, show_default=True)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=_DEFAULT.workers,
    show_default=True,
    help="Models that are worked on at once.",
)
@click.option(
    "--resync-s",
    type=click.FloatRange(min=1),
    default=_DEFAULT.resync_s,
    show_default=True,
    help="Seconds after which everything is looked at again.",
)
@click.option("--leader-elect/--no-leader-elect", default=False, show_default=True, help="Needed with two replicas.")
@click.option("--lease-namespace", default=_DEFAULT.lease_namespace, show_default=True)
@list_option("--image", "images", metavar="ENGINE=IMAGE,…", help="Another image than the catalogue's.")
@click.option(
    "--config-connector-namespace",
    default="",
    help="Namespace of the ContainerNodePools, with --provisioner ConfigConnector. The Lease's when left out.",
)
@click.option(
    "--claim-idle-after-s",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seconds for which a node pool without models is kept.",
)
@click.option(
    "--drift",
    type=click.Choice([policy.value for policy in DriftPolicy]),
    callback=lambda _context, _option, value: DriftPolicy(value),
    default=_DEFAULT.drift.value,
    show_default=True,
    help="What to do about node pools that somebody changed: tell it, put it right, or replace them, too.",
)
@click.option(
    "--slice-upgrades",
    type=click.Choice([choice.value for choice in SliceUpgrades]),
    callback=lambda _context, _option, value: SliceUpgrades(value),
    default=_DEFAULT.slice_upgrades.value,
    show_default=True,
    help="Who upgrades node pools of slices: the operator, those of a model one by one; you; or GKE, as all others.",
)
@ladder_options
@click.option(
    "--catalogue-directory",
    type=click.Path(path_type=Path),
    help="Models, accelerators, engines, support rules and prices beside the built-in ones: a mounted ConfigMap.",
)
@click.option("--verbose", is_flag=True, help="Also log what is only of use to developers.")
def run(images: tuple[str, ...], provisioners: tuple[str, ...], claim_idle_after_s: int, **given: Any) -> None:
    """Run the operator until SIGTERM or SIGINT."""
    from mistral_operator.controller.run import run as run_operator

    settings = Settings(
        operator_version=__version__,
        images=_read_images(images),
        claim_idle_after_s=claim_idle_after_s,
        ladder=take_ladder_settings(given),
    )
    try:
        switched_on = tuple(map(Provisioner, provisioners))
        asyncio.run(run_operator(RunOptions(provisioners=switched_on, settings=settings, **given)))
    except (UnknownPlaceError, ApiError, CloudError) as error:
        raise click.ClickException(str(error)) from None


def _read_images(pairs: tuple[str, ...]) -> dict[str, str]:
    images = {}
    for pair in pairs:
        engine, equals, image = pair.partition("=")
        if not (engine and equals and image):
            raise click.UsageError(f"--image {pair}: write it like --image vllm-gpu=registry.example/vllm:tag")
        images[engine] = image
    return images
