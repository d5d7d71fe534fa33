"""Real programs beside the operator, of the versions that a cluster would run, for tests and for `--with`."""
