"""Sizes, counts and money as people read them."""

from decimal import Decimal

from mistral_operator.catalogue.units import GIB


def gib_bytes(gib: Decimal | int) -> int:
    """GiB as whole bytes, rounded down."""
    return int(gib * GIB)


def gib_text(size_bytes: int) -> str:
    """Bytes as `13.5 GiB`."""
    return f"{size_bytes / GIB:.1f} GiB"


def tokens_text(tokens: int) -> str:
    """Tokens as `32,768 tokens`."""
    return f"{tokens:,} token{'' if tokens == 1 else 's'}"


def dollars_text(amount: Decimal) -> str:
    """Dollars an hour as `$4.00/h`."""
    return f"${amount:.2f}/h"


def exact_dollars_text(amount: Decimal) -> str:
    """Dollars an hour as `$4.0017/h`, for comparing: two prices that differ never look the same."""
    return f"${amount:.2f}/h" if amount == amount.quantize(Decimal("0.01")) else f"${amount}/h"


def round_down(value: int, step: int) -> int:
    """The largest multiple of `step` that is not larger than `value`."""
    return value // step * step


def ceil_div(value: int, parts: int) -> int:
    """`value / parts`, rounded up."""
    return -(-value // parts)
