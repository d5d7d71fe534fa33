"""What is assumed of the operator's settings where there is no operator to ask."""

from pathlib import Path

import click

from mistral_operator import __version__
from mistral_operator.catalogue.load import load_catalogue, load_extended
from mistral_operator.catalogue.reader import CatalogueError
from mistral_operator.catalogue.types import Catalogue
from mistral_operator.planning.estimate import override_prices
from mistral_operator.planning.runtimes import GATEWAY
from mistral_operator.planning.types import Settings

CATALOGUE_OPTION = click.option(
    "--catalogue-directory",
    type=click.Path(path_type=Path),
    help="What the operator's catalogue is extended by: a directory with files as docs/catalogue.md has them.",
)


def offline_settings() -> Settings:
    """This version's, with a stand-in name for its own image, which only a running operator is told."""
    return Settings(operator_version=__version__, images={GATEWAY: f"mistral-operator:{__version__}"})


def load_knowledge(directory: Path | None, settings: Settings | None = None) -> tuple[Catalogue, Settings]:
    """The catalogue with the extension of a directory, and the settings with its prices.

    Raises ClickException that names the file and the field.
    """
    given = settings or offline_settings()
    if directory is None:
        return load_catalogue(), given
    if not directory.is_dir():
        raise click.ClickException(f"{directory} is no directory")
    try:
        extended = load_extended(directory)
    except CatalogueError as error:
        raise click.ClickException(f"{directory}: {error}") from None
    return extended.catalogue, override_prices(given, extended.prices)
