"""How an option is named beside a chart."""

from mistral_operator.cli.report.markup import Html, join, tag
from mistral_operator.planning.types import PlannedOption


def label_option(number: int, option: PlannedOption, quiet: str) -> Html:
    """The rung's number, the option's name, and something quiet below."""
    texts = tag(
        "span", tag("span", option.name, class_="name"), " ", tag("span", quiet, class_="quiet"), class_="texts"
    )
    return join([tag("span", str(number), class_="ordinal"), texts])
