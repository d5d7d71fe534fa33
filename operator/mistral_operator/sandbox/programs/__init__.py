"""How the sandbox comes by the real programs that it runs: a cache, verified downloads, builds from Go modules."""
