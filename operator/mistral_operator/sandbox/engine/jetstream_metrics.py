"""JetStream's metrics, by their real names and buckets, on a registry of their own. In seconds."""

import uuid
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

IDX = "0"
"""The one generating engine."""

LONG_BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
FIRST_TOKEN_BUCKETS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
TOKEN_BUCKETS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
PREFILL_BUCKETS = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1)
REQUEST_BUCKETS = (1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0)
INPUT_BUCKETS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768)
OUTPUT_BUCKETS = tuple(digit * 10**power for power in range(7) for digit in (1, 2, 5) if digit * 10**power <= 2_000_000)

GAUGES = {
    "jetstream_prefill_backlog_size": "Requests that wait for their prefill.",
    "jetstream_model_load_time": "How long the model took to load.",
    "jetstream_server_startup_latency": "How long the server took to start.",
    "num_requests_waiting": "Requests that wait to be processed.",
    "kv_cache_utilization_perc": "Share of the KV cache in use; a stand-in counts slots.",
}
GAUGES_BY_ENGINE = {
    "jetstream_transfer_backlog_size": "Requests that wait for their transfer; a stand-in transfers nothing.",
    "jetstream_generate_backlog_size": "Requests that wait for a slot after their prefill; a stand-in has none.",
    "jetstream_slots_used_percentage": "Share of the decode slots in use, from 0 to 1.",
}
HISTOGRAMS: Mapping[str, tuple[str, tuple[float, ...]]] = {
    "jetstream_queue_duration": ("Time that a request waits.", LONG_BUCKETS),
    "jetstream_request_input_length": ("Tokens of a request.", INPUT_BUCKETS),
    "jetstream_request_output_length": ("Tokens of an answer.", OUTPUT_BUCKETS),
    "jetstream_time_to_first_token": ("From the prefill to the first token.", FIRST_TOKEN_BUCKETS),
    "jetstream_time_per_output_token": ("Time for each token of an answer.", TOKEN_BUCKETS),
    "jetstream_time_per_prefill_token": ("Time for each token of a prompt.", PREFILL_BUCKETS),
    "jetstream_time_per_request": ("From the prefill to the last token.", REQUEST_BUCKETS),
    "jetstream_wait_time_per_request": ("Time without prefill or decode.", LONG_BUCKETS),
}


class JetStreamMetrics:
    """All series exist from the start. Neither program names its model to the collector, so no label has it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.registry = CollectorRegistry()
        own = environment.get("HOSTNAME") or uuid.uuid4().hex
        registry = self.registry
        self._gauges = {n: Gauge(n, text, ("id",), registry=registry).labels(own) for n, text in GAUGES.items()}
        self._gauges |= {
            name: Gauge(name, text, ("id", "idx"), registry=registry).labels(own, IDX)
            for name, text in GAUGES_BY_ENGINE.items()
        }
        self._histograms = {
            name: Histogram(name, text, ("id",), buckets=buckets, registry=registry).labels(own)
            for name, (text, buckets) in HISTOGRAMS.items()
        }
        succeeded = Counter("jetstream_request_success_count", "Answered requests.", ("id",), registry=registry)
        self._succeeded = succeeded.labels(own)

    def load(self, waiting: int, used_share: float) -> None:
        """Requests that wait for a slot, and the share of slots in use."""
        self._gauges["jetstream_prefill_backlog_size"].set(waiting)
        self._gauges["num_requests_waiting"].set(waiting)
        self._gauges["jetstream_slots_used_percentage"].set(used_share)
        self._gauges["kv_cache_utilization_perc"].set(used_share)

    def started(self, loading_s: float, starting_s: float) -> None:
        """The server is up."""
        self._gauges["jetstream_model_load_time"].set(loading_s)
        self._gauges["jetstream_server_startup_latency"].set(starting_s)

    def observe(self, name: str, value: float) -> None:
        """Add to a histogram of HISTOGRAMS."""
        self._histograms[name].observe(value)

    def succeeded(self) -> None:
        """A request was answered."""
        self._succeeded.inc()
