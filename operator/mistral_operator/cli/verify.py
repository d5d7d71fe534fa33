"""`verify NAME`: checks of a served model on its hardware, and the record of them as evidence."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import click
import yaml

from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.cli.output import complain, say
from mistral_operator.cli.verification.checks import Results, run_checks
from mistral_operator.cli.verification.client import Endpoint
from mistral_operator.cli.verification.record import Subject, read_subject, write_record
from mistral_operator.cluster.client import ApiClient
from mistral_operator.cluster.errors import ApiError
from mistral_operator.cluster.kinds import MODEL

_POLL_S = 2.0


@click.command()
@click.argument("name")
@click.option("-n", "--namespace", default="default", show_default=True, help="Namespace of the model.")
@click.option("--kubeconfig", type=click.Path(path_type=Path), envvar="KUBECONFIG", help="Else the usual places.")
@click.option("--endpoint", help="Base URL with /v1. Else the model's own, which is reached from inside the cluster.")
@click.option("--by", required=True, help="Who runs it: a person or a team, for the record.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Else the record is printed.")
@click.option("--requests", type=click.IntRange(1, 4096), default=32, show_default=True, help="Most requests at once.")
@click.option("--timeout", type=click.FloatRange(1), default=1800, show_default=True, help="Seconds to be ready.")
@click.option("--request-timeout", type=click.FloatRange(1), default=300, show_default=True, help="Seconds a request.")
@click.option("--accept-stand-in", is_flag=True, help="Exit with 0 although a stand-in answered; it proves nothing.")
@click.pass_context
def verify(
    ctx: click.Context,
    /,
    name: str,
    namespace: str,
    kubeconfig: Path | None,
    endpoint: str | None,
    by: str,
    output: Path | None,
    requests: int,
    timeout: float,
    request_timeout: float,
    accept_stand_in: bool,
) -> None:
    """Check a served model on its hardware, measure it, and write the record that makes a pair `verified`.

    Exits with 0 when all checks passed, with 1 otherwise and when a stand-in answered; the record is written anyway.
    """
    try:
        subject, results, version = asyncio.run(
            _run(name, namespace, kubeconfig, endpoint, requests, timeout, request_timeout)
        )
    except ApiError as error:
        raise click.ClickException(str(error)) from None
    date = datetime.now(UTC).date().isoformat()
    record = write_record(subject, results, by=by, date=date, cluster_version=version)
    _save(yaml.safe_dump(record, sort_keys=False, allow_unicode=True), output)
    for check in results.checks:
        complain(f"{'passed' if check.passed else 'FAILED'}  {check.name}: {check.detail}")
    if results.stand_in:
        complain("A stand-in answered: this is no evidence, and the support matrix refuses the record.")
    if not record["passed"] or (results.stand_in and not accept_stand_in):
        ctx.exit(1)


def _save(text: str, output: Path | None) -> None:
    if output is None:
        say(text.rstrip())
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"can't write the record: {error}") from None


async def _run(
    name: str,
    namespace: str,
    kubeconfig: Path | None,
    endpoint: str | None,
    requests: int,
    timeout_s: float,
    request_timeout_s: float,
) -> tuple[Subject, Results, str]:
    client = await ApiClient.connect(kubeconfig)
    try:
        model = await _wait_for(client, name, namespace, timeout_s)
        version = str((await client.read("/version")).get("gitVersion", "unknown"))
    finally:
        await client.close()
    subject = read_subject(model, requests)
    if isinstance(subject, str):
        raise click.ClickException(f"MistralModel {name}: {subject}")
    tools = calls_tools(subject.model, subject.run["engine"])
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
        url, is_vllm = endpoint or subject.url, str(subject.run["engine"]).startswith("vllm")
        served = Endpoint(session, url, subject.served_name, request_timeout_s, ignores_end=is_vllm)
        results = await run_checks(served, subject.served_name, subject.context_length, subject.workload, tools=tools)
    return subject, results, version


def calls_tools(model: str, engine: str) -> bool:
    """Whether the catalogue has the model call tools on this engine."""
    entry = load_catalogue().models.get(model)
    served = entry.engines.get(engine) if entry else None
    return bool(served and served.tool_calling)


async def _wait_for(client: ApiClient, name: str, namespace: str, timeout_s: float) -> dict[str, Any]:
    """The model once it is ready."""
    reason = "it has no status"
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                model = await client.get(MODEL, name, namespace)
                if model is None:
                    raise click.ClickException(f"there is no MistralModel {name} in namespace {namespace}")
                conditions = (model.get("status") or {}).get("conditions") or []
                ready: dict[str, Any] = next((item for item in conditions if item.get("type") == "Ready"), {})
                if ready.get("status") == "True" and (model["status"].get("readyReplicas") or 0) > 0:
                    return model
                reason = f"{ready.get('reason', 'Ready is unknown')}: {ready.get('message', '')}"
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise click.ClickException(f"MistralModel {name} is not ready after {timeout_s:.0f} s. {reason}") from None
