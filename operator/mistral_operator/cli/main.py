"""The command `mistral-operator`. Each subcommand lives in a module of its own, which is imported when it is called:
`plan` must answer before anybody would load an API client or the operator.
"""

import importlib
from typing import Any, Final, NamedTuple

import click

from mistral_operator import __version__


class Entry(NamedTuple):
    """Where a subcommand is, and what it does in one line."""

    module: str
    attribute: str
    summary: str


COMMANDS: Final = {
    "plan": Entry("plan", "plan", "Say what a model would run on, why, and what it costs. Needs no cluster."),
    "render": Entry("render", "render", "Print what the operator would apply. Needs no cluster."),
    "catalogue": Entry("catalogue", "catalogue", "List models, accelerators, engines and the support matrix."),
    "status": Entry("status", "status", "Tell the story of one model in a cluster."),
    "sweep": Entry("sweep", "sweep", "List node pools that lost their claim; delete them when asked."),
    "verify": Entry("verify", "verify", "Check a served model on its hardware, and record it as evidence."),
    "run": Entry("run", "run", "Run the operator."),
    "gateway": Entry("gateway", "gateway", "Serve the OpenAI API in front of JetStream."),
    "sandbox": Entry("sandbox", "sandbox", "A GKE on this machine: real control plane, simulated cloud."),
    "demo": Entry("demo", "demo", "Serve a model in the sandbox from start to end, in about a minute."),
}


class LazyGroup(click.Group):
    """A group that imports a subcommand only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module = importlib.import_module(f"mistral_operator.cli.{entry.module}")
        command: Any = getattr(module, entry.attribute)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 110,
        "auto_envvar_prefix": "MISTRAL_OPERATOR",
    },
)
@click.version_option(__version__, prog_name="mistral-operator")
def main() -> None:
    """Serve Mistral models on Google Kubernetes Engine: one object in, a served model out."""
