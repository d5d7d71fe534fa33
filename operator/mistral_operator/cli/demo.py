"""`demo`: models from nothing to an answer and back to nothing, in the sandbox."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from mistral_operator.cli.demo_steps import Demo, DemoError
from mistral_operator.cli.documents import find_models, read_models
from mistral_operator.cli.local import LocalStack, StackError, describe_path, fetch_binaries, working_directory
from mistral_operator.cli.narrator import Narrator
from mistral_operator.cli.output import Style, complain, paint, say, wrap
from mistral_operator.cli.sandbox import wait_for_signal
from mistral_operator.cluster.client import ApiClient
from mistral_operator.cluster.errors import ApiError
from mistral_operator.sandbox.processes import ProcessGroup

SPEED: Final = 25.0
"""Minutes of node pools, images and weights become seconds."""
NAMESPACE: Final = "demo"
STAND_INS: Final = (
    "Real: etcd, the Kubernetes API server, its controllers and scheduler, this operator. "
    "Stand-ins: GKE, its nodes and autoscaler, the kubelet, vLLM."
)

ON_GPU: Final[dict[str, Any]] = {
    "apiVersion": "serving.mistral-operator.dev/v1alpha1",
    "kind": "MistralModel",
    "metadata": {"name": "chat"},
    "spec": {"model": "mistral-7b-v0.3"},
}
ON_TPU: Final[dict[str, Any]] = {
    **ON_GPU,
    "metadata": {"name": "chat-tpu"},
    # Nobody has recorded that it runs, so it has to be allowed.
    "spec": {
        "model": "mistral-7b-v0.3",
        "allowExperimental": True,
        "capacity": {"options": [{"accelerator": "v5e", "topology": "2x2"}]},
    },
}


@click.command()
@click.option("--keep", is_flag=True, help="Don't scale down or delete at the end; stay until Ctrl-C.")
@click.option(
    "--speed", type=click.FloatRange(min=0.1), default=SPEED, show_default=True, help="Divides simulated delays."
)
@click.option(
    "--example", type=click.Path(path_type=Path, exists=True), help="A file with MistralModels to serve instead."
)
@click.option(
    "--directory", type=click.Path(path_type=Path), help="Where logs and data go. A temporary one when left out."
)
def demo(keep: bool, speed: float, example: Path | None, directory: Path | None) -> None:
    """Serve models in the sandbox: plan, provision, ask, scale, delete, and prove that nothing is left.

    A real Kubernetes control plane runs on this machine. GKE, the nodes and the engine are stand-ins, and say so.
    Exits with 0 when every step did what it should.
    """
    manifests = _read_examples(example)
    say(paint("Mistral operator: from nothing to an answer and back", Style.TITLE))
    for line in wrap(STAND_INS + f" Waiting is {speed:g} times shorter than it would be.", ""):
        say(paint(line, Style.QUIET))
    say()
    with working_directory(directory, "mistral-demo-") as place:
        try:
            fetch_binaries(say)
            asyncio.run(_run(place, manifests, speed, keep))
        except (DemoError, StackError, ApiError) as error:
            complain(f"\n{paint('The demo failed', Style.BAD)}: {error}")
            complain(f"Logs are in {place}")
            raise SystemExit(1) from None


def _read_examples(example: Path | None) -> list[dict[str, Any]]:
    """One model on a GPU and one on a TPU, unless somebody has models of their own."""
    documents: Sequence[Mapping[str, Any]] = (ON_GPU, ON_TPU)
    if example is not None:
        read_models(example)
        documents = find_models(example)
    return [{**document, "metadata": {**document["metadata"], "namespace": NAMESPACE}} for document in documents]


async def _run(directory: Path, manifests: Iterable[dict[str, Any]], speed: float, keep: bool) -> None:
    narrator = Narrator()
    with ProcessGroup() as processes:
        stack = LocalStack(directory, processes, speed)
        client: ApiClient | None = None
        try:
            narrator.tell("sandbox", f"starting in {directory}")
            info = await stack.start_sandbox(scenario=None, with_crds=True, waiting=narrator.await_)
            narrator.tell(
                "sandbox", f"ready: a GKE cluster in {info.location}, export KUBECONFIG={info.kubeconfig}", Style.GOOD
            )
            client = await ApiClient.connect(info.kubeconfig)
            await stack.start_operator(info)
            narrator.tell("operator", "ready", Style.GOOD)
            await _act([Demo(client, stack, info, narrator, manifest) for manifest in manifests], keep)
        finally:
            if client is not None:
                await client.close()
            await stack.stop()
    narrator.tell("done", "every process has ended", Style.GOOD)


async def _act(demos: Sequence[Demo], keep: bool) -> None:
    first = demos[0]
    for demo in demos:
        await demo.apply()
        await demo.show_plan()
        await demo.wait_ready(1)
        await demo.show_endpoint()
        await demo.ask("In one sentence: what is a node pool?")
        if demo is first:
            await first.scale(2)
    if keep:
        await _stay(first)
        return
    await first.scale(1)
    for demo in demos:
        await demo.delete()
    await first.prove_nothing_left()


async def _stay(demo: Demo) -> None:
    name, info = demo.name, demo.sandbox
    # Not wrapped: these lines are there to be copied.
    demo.narrator.show([
        "Everything keeps running until Ctrl-C. From another terminal:",
        "",
        f"  export KUBECONFIG={info.kubeconfig}",
        f"  {describe_path()}",
        f"  mistral-operator status {name} -n {NAMESPACE}",
        f"  kubectl -n {NAMESPACE} get mistralmodels,nodepoolclaims,pods",
        f"  curl {demo.url} -H 'Content-Type: application/json' -d '{demo.request('Hello')}'",
        f"  curl {info.control_url}/state",
    ])  # fmt: skip
    if not await wait_for_signal(demo.stack):
        demo.stack.check()
