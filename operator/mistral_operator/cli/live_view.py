"""What Google says of a plan, for people, for Markdown and as data."""

from dataclasses import dataclass
from typing import Any, Final

from mistral_operator.capacity.advice import quote
from mistral_operator.capacity.preflight.facts import AskedRung, LiveFacts
from mistral_operator.capacity.preflight.judge import LiveFinding, Verdict, judge
from mistral_operator.cli.output import Cell, Style, escape_markdown, hang, markdown_table, paint, table, wrap

TITLE: Final = "What Google says now"
NO_STOCK: Final = "Nobody tells what a zone has in stock, so a rung that is ok may still find no machines."
_STYLES: Final = {Verdict.OK: Style.GOOD, Verdict.WARNING: Style.WAITING, Verdict.BLOCKED: Style.BAD}
_HEADER: Final = ("", "option", "can it work now?", "because of")


@dataclass(frozen=True, slots=True)
class Preflight:
    """The findings about a plan's ladder."""

    facts: LiveFacts
    rungs: tuple[AskedRung, ...]
    findings: tuple[LiveFinding, ...]

    @property
    def verdict(self) -> Verdict:
        """Of the chosen option, the first rung."""
        return judge(self.findings, self.rungs[0].name)


def tell_preflight(preflight: Preflight) -> list[str]:
    """The rungs with their verdicts, then whatever isn't ok with the command that fixes it, then the rest."""
    rows: list[list[Cell | str]] = [
        [Cell(str(number), right=True), rung.name, Cell(verdict.value, _STYLES[verdict]), _reasons(preflight, rung)]
        for number, rung, verdict in _judged(preflight)
    ]
    lines = [paint(f"{TITLE}, {_asked(preflight)}", Style.TITLE), *table(rows, _HEADER), ""]
    for finding in _list_worth_telling(preflight):
        lines += _tell(finding, len(preflight.rungs))
    return [*lines, *[paint(line, Style.QUIET) for line in wrap(NO_STOCK, "")]]


def _tell(finding: LiveFinding, rungs: int) -> list[str]:
    about = "" if not finding.rungs or len(finding.rungs) == rungs else f" ({', '.join(finding.rungs)})"
    head = f"{finding.verdict.value}  {finding.check}  {finding.reason}{about}: {finding.message}"
    lines = hang(head)
    lines[0] = lines[0].replace(finding.verdict.value, paint(finding.verdict.value, _STYLES[finding.verdict]), 1)
    lines += wrap(quote(finding.quote, "Google"), "      ") if finding.quote else []
    # Not wrapped: it is there to be copied.
    return [*lines, f"      {finding.command}"] if finding.command else lines


def markdown_preflight(preflight: Preflight) -> list[str]:
    """The same for a comment on a pull request."""
    rows: list[list[Cell | str]] = [
        [Cell(str(number), right=True), rung.name, verdict.value, _reasons(preflight, rung)]
        for number, rung, verdict in _judged(preflight)
    ]
    lines = [f"{TITLE}, {_asked(preflight)}:", "", *markdown_table(rows, _HEADER), ""]
    for finding in _list_worth_telling(preflight):
        about = f" ({', '.join(finding.rungs)})" if finding.rungs else ""
        said = f" {quote(finding.quote, 'Google')}" if finding.quote else ""
        words = escape_markdown(f"{finding.message}.{said}")
        fix = f" `{finding.command}`" if finding.command else ""
        lines.append(f"- **{finding.verdict.value}** {finding.check}, {finding.reason}{about}: {words}{fix}")
    return [*lines, "", NO_STOCK]


def preflight_to_dict(preflight: Preflight) -> dict[str, Any]:
    """The same as data."""
    place = preflight.facts.place
    return {
        "project": place.project,
        "location": place.location,
        "cluster": place.cluster,
        "askedAs": preflight.facts.identity or None,
        "verdict": preflight.verdict.value,
        "rungs": [{"name": rung.name, "verdict": verdict.value} for _, rung, verdict in _judged(preflight)],
        "findings": [_finding_to_dict(finding) for finding in preflight.findings],
    }


def _finding_to_dict(finding: LiveFinding) -> dict[str, Any]:
    return {
        "check": finding.check,
        "verdict": finding.verdict.value,
        "reason": finding.reason,
        "message": finding.message,
        "rungs": list(finding.rungs),
        "quote": finding.quote or None,
        "command": finding.command or None,
    }


def _asked(preflight: Preflight) -> str:
    place = preflight.facts.place
    who = f", asked as {preflight.facts.identity}" if preflight.facts.identity else ""
    return f"cluster {place.cluster} in {place.location} of project {place.project}{who}"


def _judged(preflight: Preflight) -> list[tuple[int, AskedRung, Verdict]]:
    findings = preflight.findings
    return [(number, rung, judge(findings, rung.name)) for number, rung in enumerate(preflight.rungs, 1)]


def _reasons(preflight: Preflight, rung: AskedRung) -> str:
    """The findings that make the rung what it is."""
    verdict = judge(preflight.findings, rung.name)
    if verdict is Verdict.OK:
        return ""
    about = (item for item in preflight.findings if not item.rungs or rung.name in item.rungs)
    return ", ".join(dict.fromkeys(item.reason for item in about if item.verdict is verdict))


def _list_worth_telling(preflight: Preflight) -> list[LiveFinding]:
    """What is fine is told of the chosen option only."""
    order, first = [Verdict.BLOCKED, Verdict.WARNING, Verdict.OK], preflight.rungs[0].name
    told = (item for item in preflight.findings if item.verdict is not Verdict.OK or first in (item.rungs or (first,)))
    return sorted(told, key=lambda finding: order.index(finding.verdict))
