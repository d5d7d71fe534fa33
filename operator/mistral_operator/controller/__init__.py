"""The shell around the pure core: watches, queue, reconcilers, events, health and metrics."""
