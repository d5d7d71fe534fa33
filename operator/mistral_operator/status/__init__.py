"""From what was observed to conditions, cost, timeline and summary. Pure."""
