"""Stand-in engines: the command line, HTTP surface and metrics of the real ones, without a model."""
