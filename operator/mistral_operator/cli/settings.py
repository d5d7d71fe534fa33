"""What is assumed of the operator's settings where there is no operator to ask."""

from mistral_operator import __version__
from mistral_operator.planning.runtimes import GATEWAY
from mistral_operator.planning.types import Settings


def offline_settings() -> Settings:
    """This version's, with a stand-in name for its own image, which only a running operator is told."""
    return Settings(operator_version=__version__, images={GATEWAY: f"mistral-operator:{__version__}"})
