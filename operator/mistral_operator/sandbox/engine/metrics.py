"""vLLM's metrics, by their real names, on a registry of their own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from .settings import EngineSettings

LABELS = ("model_name", "engine")
ENGINE = "0"
FINISH_REASONS = ("stop", "length", "abort", "error", "repetition")
ADMISSION_REASONS = ("max_num_queued_reqs", "max_num_queued_tokens")
WAITING_REASONS = ("capacity", "deferred")

LATENCY_BUCKETS = (
    0.3,
    0.5,
    0.8,
    1.0,
    1.5,
    2.0,
    2.5,
    5.0,
    10.0,
    15.0,
    20.0,
    30.0,
    40.0,
    50.0,
    60.0,
    120.0,
    240.0,
    480.0,
)
FIRST_TOKEN_BUCKETS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0)
TOKEN_BUCKETS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0)
COUNT_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)

GAUGES = {
    "vllm:num_requests_running": "Number of requests in model execution batches.",
    "vllm:num_requests_waiting": "Number of requests waiting to be processed.",
    "vllm:kv_cache_usage_perc": "KV-cache usage. 1 means 100 percent usage.",
}
COUNTERS = {
    "vllm:prompt_tokens": "Number of prefill tokens processed.",
    "vllm:generation_tokens": "Number of generation tokens processed.",
    "vllm:num_preemptions": "Cumulative number of preemptions; a stand-in has none.",
    "vllm:prefix_cache_queries": "Prefix cache queries, in tokens; a stand-in caches nothing.",
    "vllm:prefix_cache_hits": "Prefix cache hits, in tokens; a stand-in caches nothing.",
}
HISTOGRAMS: dict[str, tuple[str, tuple[float, ...]]] = {
    "vllm:time_to_first_token_seconds": ("Time to first token in seconds.", FIRST_TOKEN_BUCKETS),
    "vllm:inter_token_latency_seconds": ("Inter-token latency in seconds.", TOKEN_BUCKETS),
    "vllm:request_time_per_output_token_seconds": ("Time per output token, per request.", TOKEN_BUCKETS),
    "vllm:e2e_request_latency_seconds": ("End-to-end request latency in seconds.", LATENCY_BUCKETS),
    "vllm:request_queue_time_seconds": ("Time spent in the WAITING phase.", LATENCY_BUCKETS),
    "vllm:request_inference_time_seconds": ("Time spent in the RUNNING phase.", LATENCY_BUCKETS),
    "vllm:request_prompt_tokens": ("Number of prefill tokens processed.", COUNT_BUCKETS),
    "vllm:request_generation_tokens": ("Number of generation tokens processed.", COUNT_BUCKETS),
    "vllm:request_params_max_tokens": ("The max_tokens request parameter.", COUNT_BUCKETS),
    "vllm:request_params_n": ("The n request parameter.", (1, 2, 5, 10, 20)),
}


class EngineMetrics:
    """All series of one engine exist from the start, as a real engine's do: a scraper sees zeros, not gaps."""

    def __init__(self, settings: EngineSettings) -> None:
        self.registry = CollectorRegistry()
        self._model = settings.served_names[0]
        values = (self._model, ENGINE)
        self._gauges = {n: Gauge(n, text, LABELS, registry=self.registry).labels(*values) for n, text in GAUGES.items()}
        self._counters = {
            n: Counter(n, text, LABELS, registry=self.registry).labels(*values) for n, text in COUNTERS.items()
        }
        self._histograms = {
            name: Histogram(name, text, LABELS, buckets=buckets, registry=self.registry).labels(*values)
            for name, (text, buckets) in HISTOGRAMS.items()
        }
        success = Counter(
            "vllm:request_success", "Finished requests.", (*LABELS, "finished_reason"), registry=self.registry
        )
        self._finished = {reason: success.labels(*values, reason) for reason in FINISH_REASONS}
        waiting = Gauge(
            "vllm:num_requests_waiting_by_reason", "Waiting requests.", (*LABELS, "reason"), registry=self.registry
        )
        self._waiting = {reason: waiting.labels(*values, reason) for reason in WAITING_REASONS}
        rejections = Counter(
            "vllm:admission_rejections", "Rejected by a queue limit.", ("model_name", "reason"), registry=self.registry
        )
        self._rejections = {reason: rejections.labels(self._model, reason) for reason in ADMISSION_REASONS}

    def load(self, running: int, waiting: int, kv_share: float) -> None:
        """Requests in the batch, requests that wait for a place, and the share of the KV cache in use."""
        self._gauges["vllm:num_requests_running"].set(running)
        self._gauges["vllm:num_requests_waiting"].set(waiting)
        self._waiting["capacity"].set(waiting)
        self._gauges["vllm:kv_cache_usage_perc"].set(kv_share)

    def rejected(self) -> None:
        """A request was refused because of --max-num-queued-reqs."""
        self._rejections["max_num_queued_reqs"].inc()

    def count(self, name: str, amount: float = 1) -> None:
        """Add to a counter of COUNTERS."""
        self._counters[name].inc(amount)

    def observe(self, name: str, value: float) -> None:
        """Add to a histogram of HISTOGRAMS."""
        self._histograms[name].observe(value)

    def finished(self, reason: str) -> None:
        """A request ended."""
        self._finished[reason].inc()

    def exposition(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)
