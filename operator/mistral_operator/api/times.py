"""Times as the API writes them."""

from datetime import UTC, datetime


def read_time(text: str | None) -> datetime | None:
    """A time of RFC 3339, in UTC where it names no zone; None for what is none."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
