"""Units that catalogue and planner share."""

GIB = 1 << 30
