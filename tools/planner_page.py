"""Writes the generated parts of docs/how-the-planner-decides.md, or checks them: calibration and agreement.

Usage: python tools/planner_page.py --write | --check
"""

import sys
from pathlib import Path

from written_page import fill_marks, table, write_or_check

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.sources import estimate_speed, read_rows, score  # noqa: E402  after the path to it

PAGE = ROOT / "docs" / "how-the-planner-decides.md"
SOURCES = {
    "recipes": "vLLM's recipes for Mistral models",
    "google": "Google's samples and Quickstart, vLLM's TPU plugin",
    "mistral-docs": "Mistral's documented minimums",
}


def render_calibration() -> str:
    """Published and estimated speeds."""
    rows = []
    for row in read_rows("speeds"):
        estimate = estimate_speed(row)
        hardware = f"{row['devices']} × {row['accelerator']}"
        workload = f"{row['input']:,} in, {row['output']:,} out, {row['concurrency']} at once"
        ratio = f"{estimate / row['tokens_per_s']:.2f}"
        speeds = (f"{row['tokens_per_s']:,}", f"{estimate:,}", ratio)
        rows.append((row["model"], row["precision"], hardware, workload, *speeds, row["source"]))
    head = ("Model", "Weights", "Hardware", "Workload", "Published tokens/s", "Estimated", "Ratio", "Source")
    return table(head, rows)


def render_agreement() -> str:
    """Counts for each source, and every disagreement with its explanation."""
    counts, differing = [], []
    for source, name in SOURCES.items():
        scored = score(source)
        asked = [row for row in scored if row.agrees is not None]
        agreeing = sum(row.agrees is True for row in asked)
        counts.append((f"[{name}](../tests/sources/{source}.yaml)", len(scored), len(asked), agreeing))
        differing += [(row.name, row.answer, " ".join(row.explained.split())) for row in asked if not row.agrees]
    all_asked, all_agreeing = (sum(row[index] for row in counts) for index in (2, 3))
    counts.append(
        ("together", sum(row[1] for row in counts), all_asked, f"{all_agreeing} ({all_agreeing / all_asked:.0%})")
    )
    return (
        table(("Source", "Rows", "Asked", "Agree"), counts) + table(("Row", "The planner says", "Why"), differing)[1:]
    )


def main(arguments: list[str]) -> int:
    """The exit code."""
    wanted = fill_marks(PAGE, {"calibration": render_calibration(), "agreement": render_agreement()})
    return write_or_check({PAGE: wanted}, arguments, __doc__ or "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
