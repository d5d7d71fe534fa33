"""Answers at the stated speed, counted in vLLM's metrics."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from .admission import Admission
from .answer import Answer, compose
from .metrics import EngineMetrics
from .requests import Request
from .settings import EngineSettings

# Nobody watches the tokens of an answer that isn't streamed: fewer wake-ups.
UNWATCHED_STEP_S = 0.05

Emit = Callable[[int, int], Awaitable[None]]
"""Called with the index of a choice and of its piece that is due now."""


@dataclass(slots=True)
class _Times:
    arrived: float
    started: float
    first: float | None = None
    last: float | None = None


class Generator:
    """Runs requests: a place in the batch, then one piece per choice every 1 / tokens_per_s simulated seconds."""

    def __init__(self, settings: EngineSettings, metrics: EngineMetrics, admission: Admission) -> None:
        self._settings = settings
        self._metrics = metrics
        self._admission = admission
        self._interval_s = 1 / (settings.tokens_per_s * settings.speed)

    def answers(self, request: Request) -> list[Answer]:
        """One answer per question and choice, in the order of the response's indexes."""
        return [
            compose(question, request.max_tokens, request.stop, ignore_eos=request.ignore_eos)
            for question in request.questions
            for _ in range(request.choices)
        ]

    async def run(self, request: Request, answers: Sequence[Answer], emit: Emit | None = None) -> None:
        """Return when the last piece is out. Raises RequestError (503) before the first one, never later."""
        arrived = time.monotonic()
        async with self._admission.place(request.sequences, request.prompt_tokens):
            times = _Times(arrived, time.monotonic())
            self._metrics.count("vllm:prompt_tokens", request.prompt_tokens)
            self._metrics.count("vllm:prefix_cache_queries", request.prompt_tokens)
            produced, reason = 0, "abort"
            try:
                produced = await self._pieces(answers, emit, times)
                reason = answers[0].finish_reason
            finally:
                self._admission.freed(produced)
                self._close(request, answers, times, reason)

    async def _pieces(self, answers: Sequence[Answer], emit: Emit | None, times: _Times) -> int:
        longest = max(len(answer.pieces) for answer in answers)
        sent, produced = 0, 0
        while sent < longest:
            due = min(longest, int((time.monotonic() - times.started) / self._interval_s))
            if due <= sent:
                step_s = times.started + (sent + 1) * self._interval_s - time.monotonic()
                await asyncio.sleep(max(step_s, 0) if emit else max(step_s, UNWATCHED_STEP_S))
                continue
            tokens = sum(max(0, min(due, len(answer.pieces)) - sent) for answer in answers)
            produced += tokens
            self._count(tokens, due - sent, times)
            if emit:
                await self._emit(answers, emit, sent, due)
            sent = due
        return produced

    async def _emit(self, answers: Sequence[Answer], emit: Emit, sent: int, due: int) -> None:
        for position in range(sent, due):
            for index, answer in enumerate(answers):
                if position < len(answer.pieces):
                    await emit(index, position)

    def _count(self, tokens: int, steps: int, times: _Times) -> None:
        now = time.monotonic()
        self._metrics.count("vllm:generation_tokens", tokens)
        self._admission.generated(tokens)
        if times.first is None:
            times.first = now
            self._metrics.observe("vllm:time_to_first_token_seconds", now - times.arrived)
        elif times.last is not None:
            self._metrics.observe("vllm:inter_token_latency_seconds", (now - times.last) / steps)
        times.last = now

    def _close(self, request: Request, answers: Sequence[Answer], times: _Times, reason: str) -> None:
        now = time.monotonic()
        tokens = sum(len(answer.pieces) for answer in answers)
        self._metrics.finished(reason)
        self._metrics.observe("vllm:e2e_request_latency_seconds", now - times.arrived)
        self._metrics.observe("vllm:request_queue_time_seconds", times.started - times.arrived)
        self._metrics.observe("vllm:request_inference_time_seconds", now - times.started)
        self._metrics.observe("vllm:request_time_per_output_token_seconds", (now - times.started) / max(1, tokens))
        self._metrics.observe("vllm:request_prompt_tokens", request.prompt_tokens)
        self._metrics.observe("vllm:request_generation_tokens", tokens)
        self._metrics.observe("vllm:request_params_max_tokens", request.max_tokens)
        self._metrics.observe("vllm:request_params_n", request.choices)
