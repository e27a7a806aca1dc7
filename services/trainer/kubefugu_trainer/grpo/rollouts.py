"""A rollout: a plan's text read by the serving parser and run by the serving executor against a live pool.

Replies are cached by the full request, so that the same step of another plan costs nothing. A transport failure is tried again
and then ends the run: it is never a wrong answer.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from kubefugu_coordination.clock import Deadline, SystemClock
from kubefugu_coordination.events import Done, Event, Outcome, PlanFailed, StepEnded
from kubefugu_coordination.job import Job
from kubefugu_coordination.loop.router import Decision, RouteQuery
from kubefugu_coordination.workers import RetryPolicy, WorkerSet
from kubefugu_coordination.workers.cache import ReplyCache
from kubefugu_coordination.workers.endpoint import KeySource
from kubefugu_coordination.workflow.diagnosis import LOSSES
from kubefugu_coordination.workflow.plan import JOIN_WORKER, SELF_WORKER, Plan
from kubefugu_coordination.workflow.planning import Planning, PlanningRequest
from kubefugu_coordination.workflow.runner import WorkflowParts, WorkflowRun
from kubefugu_coordination.workflow.settings import WorkflowSettings
from kubefugu_coordination.workflow.validate import read_plan
from kubefugu_core.chat import parse_chat_request
from kubefugu_core.errors import (
    InternalError,
    InvalidPlanError,
    KubefuguError,
    NoWorkerAvailableError,
    UnavailableError,
    WorkerRefusedError,
)
from kubefugu_core.pool import WorkerPool
from kubefugu_trainer.grpo.items import Item
from kubefugu_trainer.grpo.metering import Meter, billed

_PATIENT = RetryPolicy(attempts=4, first_wait_s=0.25, max_wait_s=10.0)
_TRIES = 3
_SETTINGS = WorkflowSettings(planner_timeout_s=5.0)
_WRONG = (WorkerRefusedError, NoWorkerAvailableError)
"""Errors that are the plan's own: nobody that was offered could do its last step."""


Below = Callable[[PlanningRequest], Awaitable[Planning]]
"""Plans a subtask that a plan gave to the Conductor itself. Raises InvalidPlanError where no valid plan comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """What came of one plan."""

    valid: bool
    codes: tuple[str, ...] = ()
    """Diagnoses, notes included."""
    score: float = 0.0
    """The verifier's score of the answer, 0 to 1."""
    steps: int = 0
    calls: int = 0
    """Worker calls, declined ones included; `@join` calls nobody."""
    cost_usd: float = 0.0
    """What its calls cost, those included whose replies came from the cache."""
    spent_usd: float = field(default=0.0, compare=False)
    """What was really paid: the same plan costs nothing the second time."""
    tokens: int = 0
    """Tokens of all worker calls."""
    lossy: bool = False
    """True: the plan loses results (a note of the validator)."""
    answer: str = ""


class NoRouter:
    """Steps fail over in the pool's order."""

    async def route(self, query: RouteQuery, *, deadline: Deadline) -> Decision:
        """See Router."""
        raise UnavailableError("There is no router in training.")


class GivenPlan:
    """Gives the plan that was written for the request; workflows below it (`@conductor` steps) are planned by `below`."""

    def __init__(self, plan: Plan, below: Below | None = None) -> None:
        self._plan: Plan | None = plan
        self._below = below

    async def plan(self, request: PlanningRequest, *, deadline: Deadline) -> Planning:
        """See PlannerPort."""
        plan, self._plan = self._plan, None
        if plan is None and self._below is not None:
            return await self._below(request)
        if plan is None:
            raise InvalidPlanError("Nobody plans below the plan that is being measured.")
        return Planning(plan=plan, planner="rollout")


@dataclass(slots=True)
class _Done:
    """What came of an execution, the refused ones included."""

    answer: str = ""
    calls: int = 0
    cost_usd: float = 0.0
    tokens: int = 0

    def note(self, event: Event) -> None:
        """Take an event in. Raises UnavailableError for a call that failed by no fault of the plan."""
        if isinstance(event, StepEnded) and event.worker != JOIN_WORKER:
            self.calls += 1
            if event.outcome is Outcome.FAILED and event.error is not None and _unreachable(event.error):
                raise UnavailableError(f"Worker {event.worker} failed: {event.error.message}") from event.error
        elif isinstance(event, PlanFailed) and event.path == "":
            raise UnavailableError(f"The plan could not be begun: {event.error.message}") from event.error
        elif isinstance(event, Done):
            self.answer = str(orjson.loads(event.completion_json)["choices"][0]["message"].get("content") or "")


def _job(item: Item, answer_tokens: int) -> Job:
    allowed = [name for name in item.names if name not in (JOIN_WORKER, SELF_WORKER)]
    body: dict[str, Any] = {
        "model": "fugu-ultra",
        "messages": [{"role": "user", "content": item.question.prompt}],
        "temperature": 0,
        "kubefugu": {"allow": allowed, "max_steps": item.max_steps},
    }
    if answer_tokens:
        body["max_tokens"] = answer_tokens
    if SELF_WORKER in item.names:
        body["reasoning_effort"] = "high"  # what lets a workflow recurse
    raw = orjson.dumps(body)
    return Job(parse_chat_request(raw), f"rollout-{hashlib.sha256(raw).hexdigest()[:24]}", "training", 0)


class PlanRunner:
    """Runs plans against a pool. `close` when done."""

    def __init__(
        self,
        pool: WorkerPool,
        *,
        cache: ReplyCache | None = None,
        keys: KeySource | None = None,
        timeout_s: float = 120.0,
        below: Below | None = None,
        answer_tokens: int = 0,
        failover: bool = True,
    ) -> None:
        self._below = below
        self._answer_tokens = answer_tokens
        self._settings = replace(_SETTINGS, step_max_tokens=answer_tokens, failover=failover)
        self._clock = SystemClock()
        meter = Meter(pool, cache)
        self._workers = WorkerSet(pool, retry=_PATIENT, cache=meter if cache is not None else None, observer=meter, keys=keys)
        self._timeout_s = timeout_s

    async def run_all(self, items: Sequence[Item], texts: Sequence[str], *, at_once: int = 8) -> list[Rollout]:
        """One rollout for each text, in order; equal plans of an item run once.

        Raises UnavailableError where the pool cannot be reached.
        """
        limit = asyncio.Semaphore(at_once)

        async def bounded(item: Item, text: str) -> Rollout:
            async with limit:
                return await self.run(item, text)

        try:
            async with asyncio.TaskGroup() as group:
                owners = {(item.number, text): item for item, text in zip(items, texts, strict=True)}
                tasks = {key: group.create_task(bounded(item, key[1])) for key, item in owners.items()}
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [tasks[item.number, text].result() for item, text in zip(items, texts, strict=True)]

    async def run(self, item: Item, text: str) -> Rollout:
        """Read and execute one plan."""
        reading = read_plan(text, workers=item.names, max_steps=item.max_steps, narrow=item.narrow)
        codes = tuple(found.code.value for found in reading.diagnoses)
        if reading.plan is None:
            return Rollout(valid=False, codes=codes)
        with billed() as bill:
            done = await self._patiently(item, reading.plan)
        return Rollout(
            valid=True,
            codes=codes,
            score=item.question.score(done.answer) if done.answer else 0.0,
            steps=len(reading.plan.steps),
            calls=done.calls,
            cost_usd=done.cost_usd,
            spent_usd=bill.spent_usd,
            tokens=done.tokens,
            lossy=any(note.code in LOSSES for note in reading.diagnoses),
            answer=done.answer,
        )

    async def _patiently(self, item: Item, plan: Plan) -> _Done:
        """Execute; what the network or a server is to blame for is tried again, then raised."""
        for attempt in range(1, _TRIES + 1):
            try:
                return await self._execute(item, plan)
            except KubefuguError:
                if attempt == _TRIES:
                    raise
            await self._clock.sleep(0.5 * attempt)
        raise InternalError("unreachable")

    async def _execute(self, item: Item, plan: Plan) -> _Done:
        run = WorkflowRun(
            _job(item, self._answer_tokens),
            pool=self._workers.snapshot(),
            parts=WorkflowParts(planner=GivenPlan(plan, self._below), router=NoRouter(), settings=self._settings),
            deadline=Deadline.after(self._timeout_s, self._clock),
        )
        done = _Done()
        try:
            async with aclosing(run.events()) as events:
                async for event in events:
                    done.note(event)
        except _WRONG as error:
            if _unreachable(error):
                raise
        spent = run.ledger.spent(answer=None)
        done.cost_usd, done.tokens = spent.cost_usd, spent.prompt_tokens + spent.completion_tokens
        return done

    async def close(self) -> None:
        """Close connections."""
        await self._workers.close()


def _unreachable(error: KubefuguError) -> bool:
    """True: the network's or the server's fault, not the plan's."""
    if isinstance(error, NoWorkerAvailableError):
        reasons = list(error.metadata.values())
        return not reasons or any(reason != "WORKER_REFUSED" for reason in reasons)
    return not isinstance(error, WorkerRefusedError)
