"""What the gateway counts, on a registry of its own."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

DURATION_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 240, 480)
FIRST_TOKEN_BUCKETS = (0.01, 0.02, 0.04, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 10, 20, 40)


class GatewayMetrics:
    """All of one gateway. Time is in seconds."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "mistral_gateway_requests",
            "Answered requests. The status of a stream is that of its beginning.",
            ("endpoint", "status"),
            registry=self._registry,
        )
        self._refusals = Counter(
            "mistral_gateway_refusals",
            "Requests that were refused because of a field.",
            ("field", "code"),
            registry=self._registry,
        )
        self._failures = Counter(
            "mistral_gateway_engine_failures",
            "Answers that the engine didn't give, or didn't end, by gRPC status code.",
            ("code",),
            registry=self._registry,
        )
        self._prompt = Counter("mistral_gateway_prompt_tokens", "Tokens of prompts.", registry=self._registry)
        self._generated = Counter("mistral_gateway_completion_tokens", "Generated tokens.", registry=self._registry)
        self._in_flight = Gauge(
            "mistral_gateway_requests_in_flight", "Requests in the engine.", registry=self._registry
        )
        self._duration = Histogram(
            "mistral_gateway_request_duration_seconds",
            "From the request to the end of its answer.",
            buckets=(*DURATION_BUCKETS, math.inf),
            registry=self._registry,
        )
        self._first_token = Histogram(
            "mistral_gateway_time_to_first_token_seconds",
            "From the request to the first token from the engine.",
            buckets=(*FIRST_TOKEN_BUCKETS, math.inf),
            registry=self._registry,
        )

    def answered(self, endpoint: str, status: int) -> None:
        """A request has its status."""
        self._requests.labels(endpoint, str(status)).inc()

    def refused(self, field: str, code: str) -> None:
        """A request was refused; `field` is of a bounded set, empty for a reason that no field gave."""
        self._refusals.labels(field, code).inc()

    def failed(self, code: str) -> None:
        """The engine failed a request."""
        self._failures.labels(code).inc()

    @contextmanager
    def in_flight(self) -> Iterator[None]:
        """A request is in the engine for as long as the body runs."""
        with self._in_flight.track_inprogress():
            yield

    def first_token(self, after_s: float) -> None:
        """The engine has begun to answer."""
        self._first_token.observe(after_s)

    def finished(self, prompt_tokens: int, completion_tokens: int, after_s: float) -> None:
        """An answer is over, whole or not."""
        self._prompt.inc(prompt_tokens)
        self._generated.inc(completion_tokens)
        self._duration.observe(after_s)

    def exposition(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self._registry)
