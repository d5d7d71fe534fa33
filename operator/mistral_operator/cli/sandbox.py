"""`sandbox up`: a GKE on this machine, in the foreground."""

import asyncio
import signal
from pathlib import Path

import click

from mistral_operator.cli.lists import list_option
from mistral_operator.cli.local import LocalStack, StackError, describe_path, fetch_binaries, working_directory
from mistral_operator.cli.narrator import Narrator
from mistral_operator.cli.output import Style, facts, say
from mistral_operator.sandbox.neighbours.running import COMPANIONS, CONFIG_CONNECTOR
from mistral_operator.sandbox.processes import ProcessGroup


@click.group()
def sandbox() -> None:
    """A GKE on this machine: a real control plane, a simulated cloud, stand-ins for kubelets and engines."""


@sandbox.command()
@click.option("--directory", type=click.Path(path_type=Path), help="Where its files go. A temporary one when left out.")
@click.option(
    "--scenario", type=click.Path(path_type=Path, exists=True), help="Stock, quota and failures of the cloud, as YAML."
)
@click.option(
    "--speed", type=click.FloatRange(min=0.01), default=1.0, show_default=True, help="Divides simulated delays."
)
@click.option("--with-operator", is_flag=True, help="Also install the CRDs and run the operator.")
@list_option(
    "--with",
    "neighbours",
    known=COMPANIONS,
    help="Also run these controllers: lws is the real LeaderWorkerSet, built with Go the first time; config-connector"
    " is a stand-in, and needs the folder of its definitions in MISTRAL_OPERATOR_CRDS.",
)
def up(
    directory: Path | None, scenario: Path | None, speed: float, with_operator: bool, neighbours: tuple[str, ...]
) -> None:
    """Start the sandbox and keep it until Ctrl-C; print the kubeconfig's path for kubectl, helm and other clients."""
    with working_directory(directory, "mistral-sandbox-") as place:
        try:
            fetch_binaries(say, neighbours)
            asyncio.run(_stay(place, scenario, speed, with_operator, neighbours))
        except StackError as error:
            raise click.ClickException(f"{error}\nLogs are in {place}") from None


async def _stay(
    directory: Path, scenario: Path | None, speed: float, with_operator: bool, neighbours: tuple[str, ...]
) -> None:
    narrator = Narrator()
    with ProcessGroup() as processes:
        stack = LocalStack(directory, processes, speed)
        try:
            narrator.tell("sandbox", f"starting in {directory}")
            info = await stack.start_sandbox(
                scenario=scenario, with_crds=with_operator, waiting=narrator.await_, neighbours=neighbours
            )
            if with_operator:
                await stack.start_operator(info, config_connector=CONFIG_CONNECTOR in neighbours)
            narrator.tell("sandbox", "ready; Ctrl-C ends it", Style.GOOD)
            place = f"project {info.project}, {info.location}, cluster {info.cluster}"
            # The last lines are there to be copied, so they aren't wrapped.
            narrator.show([*facts([
                ("GKE", f"{info.container_api} (simulated; {place})"),
                ("Compute", f"{info.compute_api} (simulated, for plan --live)"),
                ("services", f"{info.front_url}/NAMESPACE/SERVICE/v1/…"),
                ("cloud", f"{info.control_url}/state"),
                ("logs", str(directory)),
            ]), "", f"  export KUBECONFIG={info.kubeconfig}", f"  {describe_path()}"])  # fmt: skip
            if not await wait_for_signal(stack):
                stack.check()
            say("Stopping.")
        finally:
            await stack.stop()


async def wait_for_signal(stack: LocalStack) -> bool:
    """True when SIGINT or SIGTERM came, False when a part of the stack ended before."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    waits = [asyncio.create_task(asked.wait()), asyncio.create_task(stack.wait_for_end())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return asked.is_set()
