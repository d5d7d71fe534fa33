"""What the benchmark prints: rows on standard output, one JSON object a line, and progress on standard error."""

import json
import math
import sys
from collections.abc import Sequence


def report(row: str, value: float, unit: str, target: float, note: str = "") -> None:
    """Print one row; `target` is the most that `value` may be. A missed target is no error."""
    line = {"row": row, "value": round(value, 3), "unit": unit, "target": f"<= {target:g}", "met": value <= target}
    print(json.dumps(line | ({"note": note} if note else {})), flush=True)


def say(text: str) -> None:
    """Tell what is being done."""
    print(f"  {text}", file=sys.stderr, flush=True)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all values doesn't exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def pair_ratios(values: Sequence[float], references: Sequence[float]) -> list[float]:
    """Each value by the reference before it and by the one after it, sorted; references are one more than values."""
    pairs = (references[index : index + 2] for index in range(len(values)))
    return sorted(value / other for value, around in zip(values, pairs, strict=True) for other in around)
