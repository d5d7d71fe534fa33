"""What Compute Engine was told to say lately, kept for all claims: asked when a pool is to be created, and seldom.

Nothing here holds up a pool for long: whoever may not ask, or gets no answer, goes on without.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from mistral_operator.capacity.advice import ClusterPlace
from mistral_operator.capacity.claims.checks import find_refusal
from mistral_operator.capacity.errors import CloudError, CloudFinding
from mistral_operator.capacity.port import ClusterView
from mistral_operator.capacity.preflight.facts import AskedRung, LiveFacts, Questions, list_questions
from mistral_operator.capacity.preflight.judge import check_rungs
from mistral_operator.capacity.provisioners.live_answers import Compute, ask_google

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FactsPace:
    """How often Compute Engine is asked."""

    good_s: float = 300.0
    """Age up to which answers are believed when they stand in no pool's way."""
    fresh_s: float = 30.0
    """Age up to which a refusal may be built on them."""
    deadline_s: float = 10.0
    """For so long a pool waits for the answers."""


class KnownFacts:
    """Answers by what was asked. A failure to ask is kept as long as an answer, so that no other claim waits for it."""

    def __init__(
        self,
        place: ClusterPlace,
        compute: Callable[[], AbstractAsyncContextManager[Compute]],
        describe: Callable[[], Awaitable[ClusterView]],
        *,
        pace: FactsPace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`compute` opens a way to ask Compute Engine, `describe` asks GKE about the cluster; both raise CloudError."""
        self._place = place
        self._compute = compute
        self._describe = describe
        self._pace = pace or FactsPace()
        self._clock = clock
        self._asking = asyncio.Lock()
        self._known: dict[Questions, tuple[float, LiveFacts | None]] = {}
        self._said: set[str] = set()

    async def check(self, rung: AskedRung) -> CloudFinding | None:
        """Why GKE would certainly refuse the pool, by what is known just now; None where nothing is known to."""
        questions = list_questions((rung,))
        known = await self._find(questions, self._pace.good_s)
        if known is None:
            return None
        for finding in check_rungs((rung,), known):
            if finding.reason == "NotAnswered":
                self._say(finding.message)
        if find_refusal(rung, known) is None:
            return None
        fresh = await self._find(questions, self._pace.fresh_s)
        return find_refusal(rung, fresh) if fresh else None

    async def _find(self, questions: Questions, oldest_s: float) -> LiveFacts | None:
        async with self._asking:
            asked_at, facts = self._known.get(questions, (float("-inf"), None))
            if self._clock() - asked_at >= oldest_s:
                facts = await self._ask(questions)
                self._known[questions] = (self._clock(), facts)
            return facts

    async def _ask(self, questions: Questions) -> LiveFacts | None:
        try:
            async with asyncio.timeout(self._pace.deadline_s), self._compute() as compute:
                facts = await ask_google(questions, self._place, await self._describe_cluster(), compute)
        except TimeoutError:
            self._say(f"no answer within {self._pace.deadline_s:g} s")
            return None
        except CloudError as error:
            self._say(error.text)
            return None
        return facts

    async def _describe_cluster(self) -> ClusterView | CloudFinding:
        try:
            return await self._describe()
        except CloudError as error:
            return error.finding

    def _say(self, why: str) -> None:
        """Once: without these answers everything works, only later."""
        if why not in self._said:
            self._said.add(why)
            log.info("Node pools are asked of GKE without looking at this first: %s", why)
