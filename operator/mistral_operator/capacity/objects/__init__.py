"""Node pools as objects of the API server, written and read. Pure."""
