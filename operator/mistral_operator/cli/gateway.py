"""`gateway`: the OpenAI API in front of JetStream. Options are MISTRAL_OPERATOR_GATEWAY_<OPTION> in the environment."""

import asyncio
import logging

import click

from mistral_operator.gateway.settings import TOKENIZER_VERSIONS, GatewaySettings, Sampling

MISSING_EXTRA = "this needs the tokenizers: pip install 'mistral-operator[gateway]'"


@click.command()
@click.option("--host", default="0.0.0.0", show_default=True, help="Address to listen on.")  # noqa: S104  for probes
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="Port to listen on.")
@click.option("--engine", default="localhost:9000", show_default=True, metavar="HOST:PORT", help="JetStream's gRPC.")
@click.option("--served-model-name", required=True, help="The name that clients ask for.")
@click.option("--tokenizer", required=True, type=click.Choice(TOKENIZER_VERSIONS), help="Mistral's, as the model's.")
@click.option(
    "--max-prefill-tokens",
    required=True,
    type=click.IntRange(min=1),
    help="The engine's longest prompt: max_prefill_predict_length, or --max_input_length.",
)
@click.option(
    "--max-total-tokens",
    required=True,
    type=click.IntRange(min=2),
    help="The engine's context: max_target_length, or --max_input_length + --max_output_length.",
)
@click.option(
    "--max-concurrency",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="Requests in the engine at once, running and waiting; more are answered with 503.",
)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0),
    default=0,
    show_default=True,
    help="What the engine samples with; 0 is greedy.",
)
@click.option(
    "--top-p", type=click.FloatRange(0, 1), default=1, show_default=True, help="What the engine samples with."
)
@click.option(
    "--drain-s",
    type=click.FloatRange(min=0),
    default=30,
    show_default=True,
    help="Seconds for which open answers go on after SIGTERM.",
)
@click.option("--ignore-unsupported", is_flag=True, help="Ignore sampling parameters instead of refusing them.")
def gateway(temperature: float, top_p: float, max_prefill_tokens: int, max_total_tokens: int, **given: object) -> None:
    """Serve the OpenAI API in front of JetStream until SIGTERM or SIGINT."""
    if max_total_tokens <= max_prefill_tokens:
        raise click.UsageError(
            f"--max-total-tokens {max_total_tokens} leaves no room for an answer: "
            f"write more than --max-prefill-tokens {max_prefill_tokens}"
        )
    try:
        from mistral_operator.gateway.run import run
    except ModuleNotFoundError as error:
        raise click.ClickException(f"{error}; {MISSING_EXTRA}") from None
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    limits = {"max_prefill_tokens": max_prefill_tokens, "max_total_tokens": max_total_tokens}
    settings = GatewaySettings(sampling=Sampling(temperature, top_p), **limits, **given)  # type: ignore[arg-type]
    asyncio.run(run(settings))
