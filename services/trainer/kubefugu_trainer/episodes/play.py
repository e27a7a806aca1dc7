"""Plays episodes: the executor's coordination loop, a policy as its router, real workers, a verifier's reward.

A worker that can't be reached is no wrong answer: the episode is played again, patiently, and in the end the evaluation fails
instead of scoring it. What a worker says, a refusal or nothing at all included, is the policy's affair.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

import orjson

from kubefugu_coordination.clock import Clock, Deadline, SystemClock
from kubefugu_coordination.events import Done, Outcome, Routed, TurnEnded
from kubefugu_coordination.job import Job
from kubefugu_coordination.loop.router import Router
from kubefugu_coordination.loop.runner import CoordinationLoop, EarlyVerifierError, LoopSettings
from kubefugu_coordination.workers import RetryPolicy, WorkerSet, text_of
from kubefugu_coordination.workers.cache import ReplyCache
from kubefugu_coordination.workers.endpoint import KeySource
from kubefugu_core.chat import ChatRequest, parse_chat_request
from kubefugu_core.errors import (
    DataError,
    KubefuguError,
    NoWorkerAvailableError,
    UnavailableError,
    WorkerProtocolError,
    WorkerRefusedError,
    WorkerRejectedRequestError,
)
from kubefugu_core.pool import Role, WorkerPool
from kubefugu_trainer.tasks.question import Question
from kubefugu_trainer.tasks.verify_tools import written

PATIENT = RetryPolicy(attempts=6, first_wait_s=0.25, max_wait_s=30.0)
_PATIENCE_S = 900.0
"""How long workers that fail are waited for."""
_LONGEST_WAIT_S = 30.0
_IN_FLIGHT = 16
_HOURS_S = 6 * 3600.0
_ANSWERLESS = (
    EarlyVerifierError, NoWorkerAvailableError, WorkerRefusedError, WorkerProtocolError, WorkerRejectedRequestError,
)  # fmt: skip
"""Ends without an answer that are the policy's doing: the same policy comes to the same end again."""


@dataclass(frozen=True, slots=True)
class Call:
    """One turn as the policy chose it."""

    worker: str
    role: Role


@dataclass(frozen=True, slots=True)
class Episode:
    """What came of one."""

    reward: float
    calls: tuple[Call, ...]
    cost_usd: float
    reply: str
    """The answer; "" where the episode ended without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How episodes are played."""

    turns: int
    max_tokens: int
    worker_temperature: float = 0.0
    policy_temperature: float = 0.0
    """0: argmax."""
    early_verifier_ends: bool = False
    """True: training's rule."""


class Player:
    """Plays episodes on a pool. Belongs to one event loop."""

    def __init__(
        self, pool: WorkerPool, *, cache: ReplyCache | None, clock: Clock | None = None, keys: KeySource | None = None
    ) -> None:
        self._clock = clock or SystemClock()
        self._pool = pool
        self._set = WorkerSet(pool, retry=PATIENT, cache=cache, clock=self._clock, keys=keys)

    async def play(
        self, question: Question, router: Router, rules: Rules, *, seed: int = 0, allow: Sequence[str] | None = None
    ) -> Episode:
        """One episode. `seed` fixes what is sampled; `allow` are the workers that are offered.

        Raises UnavailableError where workers can't be reached.
        """
        chat = _request(question, rules, seed=seed, allow=allow)
        waited_s, wait_s = 0.0, 1.0
        while True:
            why = self._rest()
            if why is None:
                played = await self._once(question, chat, router, rules)
                if isinstance(played, Episode):
                    return played
                why = played
            if waited_s >= _PATIENCE_S:
                raise UnavailableError(f"Workers cannot be reached: {why.message}") from why
            await self._clock.sleep(wait_s)
            waited_s, wait_s = waited_s + wait_s, min(_LONGEST_WAIT_S, 2 * wait_s)

    async def play_all(
        self,
        questions: Sequence[Question],
        router: Router,
        rules: Rules,
        *,
        seeds: Sequence[int] | None = None,
        allowed: Sequence[Sequence[str] | None] | None = None,
    ) -> list[Episode]:
        """Episodes side by side, in order; what one comes to does not depend on the others."""
        limit = asyncio.Semaphore(_IN_FLIGHT)

        async def one(i: int) -> Episode:
            async with limit:
                return await self.play(
                    questions[i], router, rules, seed=int(seeds[i]) if seeds is not None else 0,
                    allow=allowed[i] if allowed is not None else None,
                )  # fmt: skip

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(i)) for i in range(len(questions))]
        except ExceptionGroup as several:
            raise several.exceptions[0] from several
        return [task.result() for task in tasks]

    async def close(self) -> None:
        """Close all connections."""
        await self._set.close()

    def _rest(self) -> KubefuguError | None:
        """A worker that rests would silently be left out of the episode: why it is not played now."""
        for spec in self._pool.spec.workers:
            admission = self._set.client(spec.name).admission
            if not admission.breaker.available or admission.limiter.paused_s:
                return UnavailableError(f"worker {spec.name} rests after failures")
        return None

    async def _once(self, question: Question, chat: ChatRequest, router: Router, rules: Rules) -> Episode | KubefuguError:
        job = Job(chat, request_id="episode", tenant="training", created=0)
        loop = CoordinationLoop(
            job,
            pool=self._set.snapshot(),
            router=router,
            deadline=Deadline.after(_HOURS_S, self._clock),
            settings=LoopSettings(early_verifier_ends=rules.early_verifier_ends, router_timeout_s=_HOURS_S),
        )
        calls: list[Call] = []
        done: Done | None = None
        try:
            async with aclosing(loop.events()) as events:
                async for event in events:
                    if isinstance(event, Routed):
                        calls.append(Call(event.decision.worker if event.decision else event.worker, event.role))
                    elif isinstance(event, TurnEnded) and event.outcome is Outcome.FAILED and _is_transport(event.error):
                        if isinstance(event.error, DataError):
                            raise event.error  # the reply cache's disk, not a worker
                        return event.error or UnavailableError("a worker call failed")
                    elif isinstance(event, Done):
                        done = event
        except _ANSWERLESS as error:
            if isinstance(error, NoWorkerAvailableError) and not error.metadata:
                return error  # nobody was asked: workers rest
            return Episode(0.0, tuple(calls), loop.ledger.cost_usd, "")
        if done is None:
            return UnavailableError("the episode did not end")
        message = orjson.loads(done.completion_json)["choices"][0]["message"]
        parts = (text_of(message.get("content")), written(message.get("tool_calls") or ()))
        reply = "\n".join(part for part in parts if part)
        return Episode(question.score(reply), tuple(calls), done.spent.cost_usd, reply)


def _is_transport(error: KubefuguError | None) -> bool:
    """True: another try may go well, so it says nothing about the policy: all but what the worker itself said."""
    return error is None or not isinstance(error, _ANSWERLESS)


def _request(question: Question, rules: Rules, *, seed: int, allow: Sequence[str] | None) -> ChatRequest:
    options: dict[str, object] = {"max_turns": rules.turns}
    if rules.policy_temperature > 0:
        options["sampling"] = {"temperature": rules.policy_temperature, "seed": seed}
    if allow is not None:
        options["allow"] = list(allow)
    body: dict[str, object] = {
        "model": "fugu",
        "messages": [{"role": role, "content": text} for role, text in question.messages],
        "max_tokens": rules.max_tokens,
        "temperature": rules.worker_temperature,
        "kubefugu": options,
    }
    if question.tools:
        body["tools"] = orjson.loads(question.tools)
    if rules.worker_temperature > 0:
        body["seed"] = seed % 2**31
    return parse_chat_request(orjson.dumps(body))
