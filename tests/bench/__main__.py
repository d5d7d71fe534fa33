"""`python -m tests.bench`: measures the numbers that the design promises, and prints one JSON object for each.

Progress goes to standard error. A target that is missed is reported, not failed: the exit code is 0.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from tests.bench.capacity import measure_capacity
from tests.bench.gateway import measure_gateway
from tests.bench.planning import measure_plan_command, measure_planning, measure_remembering
from tests.bench.report import say
from tests.bench.single import measure_single_models
from tests.bench.thousand import measure_thousand_models


def plan(_: Path) -> None:
    """Needs no cluster."""
    measure_planning()
    measure_remembering()
    measure_plan_command()


def run(measure: Callable[[Path], Coroutine[Any, Any, None]]) -> Callable[[Path], None]:
    """Each has its own event loop."""
    return lambda directory: asyncio.run(measure(directory))


PARTS: dict[str, Callable[[Path], None]] = {
    "planning": plan,
    "gateway": run(measure_gateway),
    "single": run(measure_single_models),
    "capacity": run(measure_capacity),
    "thousand": run(measure_thousand_models),
}


def main() -> None:
    """Run all parts, or those that are named."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"one or more of {', '.join(PARTS)}; all when left out"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the logs of all processes there")
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="mistral-bench-") as temporary:
        for name in options.parts or PARTS:
            say(f"measuring: {name}")
            directory = (options.keep or Path(temporary)) / name
            PARTS[name](directory)


main()
