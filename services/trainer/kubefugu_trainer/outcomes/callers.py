"""Calls live workers through coordination's worker clients: the code that serves is the code that measures."""

from __future__ import annotations

import orjson

from kubefugu_coordination.workers import Deadline, ReplyCache, RetryPolicy, SystemClock, WorkerSet
from kubefugu_coordination.workers.endpoint import KeySource
from kubefugu_core.pool import WorkerPool, WorkerSpec
from kubefugu_trainer.outcomes.collect import Reply
from kubefugu_trainer.tasks.question import Question
from kubefugu_trainer.tasks.verify_tools import written

PATIENT = RetryPolicy(attempts=6, first_wait_s=0.25, max_wait_s=30.0)
"""Measuring can wait where serving fails over."""
DEFAULT_CONCURRENCY = 4
"""Calls in flight for a worker that declares no limit."""
_CHARS_PER_TOKEN = 2
"""Cautious: prompts are priced as if each token had only two characters."""


class PoolCaller:
    """Asks the workers of a pool."""

    def __init__(
        self,
        pool: WorkerPool,
        *,
        max_tokens: int,
        temperature: float,
        cache: ReplyCache | None = None,
        keys: KeySource | None = None,
    ) -> None:
        """`cache`: replies that episodes have asked for too; used at temperature 0 alone. `keys`: see WorkerSet."""
        self._pool = {spec.name: spec for spec in pool.spec.workers}
        self._workers = WorkerSet(pool, retry=PATIENT, cache=cache if temperature == 0 else None, keys=keys)
        self._max_tokens = max_tokens
        self._temperature = temperature
        self._clock = SystemClock()

    def limits(self, workers: tuple[str, ...]) -> dict[str, int]:
        """Calls in flight for each worker: its declared limit, else its server's slots, else a few."""
        return {name: _concurrency(self._pool[name]) for name in workers}

    def worst_cost_usd(self, worker: str, text: str) -> float:
        """Upper bound of the cost of one call."""
        return self._pool[worker].prices.cost_usd(len(text) // _CHARS_PER_TOKEN + 64, self._max_tokens)

    async def ask(self, worker: str, question: Question, *, seed: int) -> Reply:
        """One answer of at most `max_tokens` tokens."""
        spec = self._pool[worker]
        request: dict[str, object] = {
            "messages": [{"role": role, "content": text} for role, text in question.messages],
            "max_tokens": self._max_tokens,
            "temperature": self._temperature,
        }
        if question.tools:
            request["tools"] = orjson.loads(question.tools)
        if self._temperature > 0:
            request["seed"] = seed  # without it, what is asked at temperature 0 can be found again in a reply cache
        deadline = Deadline.after(float(spec.timeouts.total_seconds), self._clock)
        answer = await self._workers.client(worker).complete(request, deadline=deadline)
        return Reply(
            text="\n".join(part for part in (answer.text, written(answer.tool_calls)) if part),
            declined=spec.specialist and answer.refusal is not None,
            prompt_tokens=answer.usage.prompt_tokens,
            completion_tokens=answer.usage.completion_tokens,
            cost_usd=answer.cost_usd,
            latency_ms=answer.latency_ms,
            finish_reason=answer.finish_reason,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._workers.close()


def _concurrency(spec: WorkerSpec) -> int:
    if spec.limits.max_concurrency:
        return spec.limits.max_concurrency
    return spec.process.slots if spec.process is not None else DEFAULT_CONCURRENCY
