"""The operator's own metrics, for Prometheus."""

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """One set of metrics in a registry of its own, so that several can live in one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._reconciles = self._counter("reconciles", "Reconciles by result: ok, retry, error, cancelled.", "result")
        self._reconcile_seconds = self._histogram("reconcile_seconds", "Seconds per reconcile.")
        self._queue_depth = self._gauge("queue_depth", "Keys that are ready to be worked on.")
        self._running = self._gauge("reconciles_running", "Keys that are being worked on.")
        self.queue_wait = self._histogram("queue_wait_seconds", "Seconds for which a key was ready before its turn.")
        self._requests = Counter(
            "mistral_operator_api_requests",
            "Requests to the API server by HTTP status; 0 means that no answer came.",
            ("verb", "resource", "status"),
            registry=self._registry,
        )
        self._request_seconds = Histogram(
            "mistral_operator_api_request_seconds",
            "Seconds per request to the API server.",
            ("verb",),
            registry=self._registry,
            buckets=_SECONDS,
        )
        self.watch_restarts = Counter(
            "mistral_operator_watch_restarts",
            "Watches that broke, by cause.",
            ("resource", "cause"),
            registry=self._registry,
        )
        self.watch_missed = Counter(
            "mistral_operator_watch_missed",
            "Objects whose change no watch had told of when all were listed.",
            ("resource",),
            registry=self._registry,
        )
        self.orphaned_pools = self._orphans_gauge()
        self.orphaned_policies = self._policies_gauge()
        self._pool_drift = self._drift_counter()
        self.loop_lag = Gauge(
            "mistral_operator_event_loop_lag_seconds",
            "By how much the event loop was late when last measured.",
            registry=self._registry,
        )
        self._catalogue_valid = Gauge(
            "mistral_operator_catalogue_valid",
            "1 when the extension of the catalogue could be read, or there is none; 0 when it is not valid.",
            registry=self._registry,
        )
        self.leading = Gauge(
            "mistral_operator_leading", "1 while this process may write, 0 on a standby.", registry=self._registry
        )

    def tell_catalogue(self, valid: bool) -> None:
        """Say whether the extension of the catalogue is valid."""
        self._catalogue_valid.set(int(valid))

    def count_drift(self, finding: str, done: str) -> None:
        """Counts one change that was found on a node pool."""
        self._pool_drift.labels(finding, done).inc()

    def watch_queue(self, queue: str, depth: Callable[[], int], running: Callable[[], int]) -> None:
        """Reports a queue's length and the number of its running workers."""
        self._queue_depth.labels(queue).set_function(depth)
        self._running.labels(queue).set_function(running)

    def reconciled(self, queue: str, result: str, seconds: float) -> None:
        """Counts one reconcile."""
        self._reconciles.labels(queue, result).inc()
        self._reconcile_seconds.labels(queue).observe(seconds)

    def requested(self, verb: str, resource: str, status: int, seconds: float) -> None:
        """Counts one request to the API server."""
        self._requests.labels(verb, resource, str(status)).inc()
        self._request_seconds.labels(verb).observe(seconds)

    def count_restart(self, resource: str, cause: str) -> None:
        """Counts a watch that broke."""
        self.watch_restarts.labels(resource, cause).inc()

    def render(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self._registry)

    def _policies_gauge(self) -> Gauge:
        return Gauge(
            "mistral_operator_orphaned_policies",
            "Workload policies that were made for a claim which isn't there, when all were last listed.",
            registry=self._registry,
        )

    def _orphans_gauge(self) -> Gauge:
        return Gauge(
            "mistral_operator_orphaned_pools",
            "Node pools that name a claim which isn't there, when all were last listed.",
            registry=self._registry,
        )

    def _drift_counter(self) -> Counter:
        return Counter(
            "mistral_operator_pool_drift",
            "Changes of somebody else's that were found on node pools, by finding and by what was done about it.",
            ("finding", "done"),
            registry=self._registry,
        )

    def _counter(self, name: str, text: str, label: str) -> Counter:
        return Counter(f"mistral_operator_{name}", text, ("queue", label), registry=self._registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"mistral_operator_{name}", text, ("queue",), registry=self._registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(f"mistral_operator_{name}", text, ("queue",), registry=self._registry, buckets=_SECONDS)
