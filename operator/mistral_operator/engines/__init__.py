"""One file per serving engine: how an option of a plan is launched, probed, measured and drained. Pure."""
