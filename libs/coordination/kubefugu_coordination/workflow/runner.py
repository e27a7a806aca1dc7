"""One `fugu-ultra` request from its conversation to its answer: plan, run the graph, park and resume, fall back to the loop.

The steps run in a task of their own and put their events into a bounded queue; `events` hands them on. Closing `events` cancels
that task and with it every call under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import structlog

from kubefugu_coordination.capabilities import Eligible, eligible_workers
from kubefugu_coordination.clock import Deadline
from kubefugu_coordination.events import Event, Progress, Resumed
from kubefugu_coordination.job import Job
from kubefugu_coordination.loop.budget import budget_of
from kubefugu_coordination.loop.router import Router
from kubefugu_coordination.loop.runner import CoordinationLoop, LoopSettings
from kubefugu_coordination.memory import ToolCallMemory
from kubefugu_coordination.spend import Ledger
from kubefugu_coordination.workers.registry import PoolSnapshot
from kubefugu_coordination.workflow.answer import Answer
from kubefugu_coordination.workflow.budget import Carried, Meter, WorkflowBudget
from kubefugu_coordination.workflow.context import FlowContext, plan_json
from kubefugu_coordination.workflow.effort import effort_depth, effort_steps
from kubefugu_coordination.workflow.flow import Flow
from kubefugu_coordination.workflow.parking import OpenCalls, ParkingLot
from kubefugu_coordination.workflow.planning import PlannerPort
from kubefugu_coordination.workflow.recall import recalled, remember
from kubefugu_coordination.workflow.record import WorkflowRecord
from kubefugu_coordination.workflow.resumption import (
    Resumption,
    check_complete,
    find_resumption,
    holds_our_calls,
    task_messages,
)
from kubefugu_coordination.workflow.settings import DEFAULT_SETTINGS, WorkflowSettings
from kubefugu_coordination.workflow.state import GraphState, ParkedWorkflow
from kubefugu_core.chat import capability_needs
from kubefugu_core.errors import (
    InternalError,
    InvalidPlanError,
    InvalidRequestError,
    KubefuguError,
    NoWorkerAvailableError,
    UnavailableError,
    UnsupportedFeatureError,
)
from kubefugu_core.pool import Role

_log = structlog.get_logger()
_QUEUED_EVENTS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowParts:
    """What workflows of every request are run with."""

    planner: PlannerPort
    router: Router
    parking: ParkingLot | None = None
    """None: no step is offered the client's tools."""
    parking_pending: bool = False
    """True: the store of parked workflows has not been reached yet, so requests that need it are to be tried again."""
    memory: ToolCallMemory | None = None
    """None: conversations have no tool-call memory."""
    strengths: Mapping[str, Mapping[str, float]] | None = None
    """Mean measured score of each worker per group of questions."""
    settings: WorkflowSettings = DEFAULT_SETTINGS
    loop_settings: LoopSettings = LoopSettings()  # noqa: RUF009 - frozen

    def with_parking(self, parking: ParkingLot) -> WorkflowParts:
        """The same with a place to park workflows."""
        return replace(self, parking=parking, parking_pending=False)


class WorkflowRun:
    """One request's run. Iterate `events` once; the last one is Done.

    Raises what the error table knows; after the first Delta an error means that the stream cannot be completed.
    """

    def __init__(self, job: Job, *, pool: PoolSnapshot, parts: WorkflowParts, deadline: Deadline) -> None:
        routing = pool.pool.spec.routing
        self._job = job
        self._pool = pool
        self._parts = parts
        self.deadline = deadline.within(float(routing.request_timeout_seconds))
        self.budget = budget_of(job, routing)
        self.max_steps = effort_steps(job, routing)
        self.eligible = _allowed(job, pool)
        self._resumption: Resumption | None = None
        if parts.parking is not None:
            self._resumption = find_resumption(job.chat.messages, parts.parking.ids, job.tenant)
        _check(job, pool, parts)
        self.ledger = Ledger()
        self._record = WorkflowRecord(keep_content=True)
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue(_QUEUED_EVENTS)
        self._context: FlowContext | None = None

    async def events(self) -> AsyncGenerator[Event, None]:
        """Run to the end."""
        driver = asyncio.get_running_loop().create_task(self._drive(), name="workflow")
        try:
            while (event := await self._next()) is not None:
                yield event
            await driver
        finally:
            if not driver.done():
                driver.cancel()
                await asyncio.wait({driver})
                if not driver.cancelled():
                    driver.exception()

    async def _next(self) -> Event | None:
        """The next event, or a sign of life where none comes for too long; None at the end."""
        try:
            async with asyncio.timeout(self._parts.settings.progress_s):
                return await self._queue.get()
        except TimeoutError:
            running = sorted(self._context.running) if self._context is not None else []
            return Progress(f"workflow: step {', '.join(running)} at work" if running else "workflow: planning")

    async def _emit(self, event: Event) -> None:
        self._record.note(event)
        await self._queue.put(event)

    async def _drive(self) -> None:
        try:
            await self._run()
        except asyncio.CancelledError:
            # The reader has gone away: nobody makes room in the queue any more.
            raise
        except BaseException:
            await self._queue.put(None)
            raise
        await self._queue.put(None)

    async def _run(self) -> None:
        if self._resumption is not None:
            await self._resume(self._resumption)
            return
        job, parts = self._job, self._parts
        memory = await recalled(parts.memory, job)
        context = self._new_context(self.max_steps, Carried(), memory=memory)
        try:
            plan = await context.plan(job.chat.messages, depth=0, path="", deadline=self.deadline)
        except KubefuguError as error:
            if isinstance(error, InvalidRequestError) and not isinstance(error, InvalidPlanError):
                raise
            await self._fall_back(error)
            return
        flow = Flow(context, plan, job.chat.messages)
        await self._finish(context, flow, await flow.run(), parked=None)

    async def _resume(self, resumption: Resumption) -> None:
        job, parking = self._job, self._parts.parking
        if parking is None:
            raise InternalError("A workflow is resumed without a place where it was parked.")
        parked = await parking.fetch(job.tenant, resumption.workflow_id)
        check_complete(resumption, set(parked.state.open_calls()), ids=parking.ids, tenant=job.tenant)
        lineage = {*parked.lineage, resumption.workflow_id}
        conversation = task_messages(job.chat.messages, lineage, ids=parking.ids, tenant=job.tenant)
        await self._emit(
            Resumed(
                resumption.workflow_id,
                plan_json(parked.state.plan),
                parked.planner,
                parked.decisions,
                tuple(sorted(parked.state.results)),
            )
        )
        await remember(self._parts.memory, job, parked.state, resumption, parking.ids)
        context = self._new_context(self.max_steps, parked.carried, memory=parked.memory)
        context.planner_name = parked.planner
        flow = Flow(context, parked.state.plan, conversation, before=parked.state, tool_results=resumption.results)
        await self._finish(context, flow, await flow.run(), parked=(resumption.workflow_id, parked))

    def _new_context(self, max_steps: int, carried: Carried, *, memory: str) -> FlowContext:
        job, parts, settings = self._job, self._parts, self._parts.settings
        depth = effort_depth(job, settings.recursion_depth)
        budget = WorkflowBudget(
            max_steps=max_steps * (settings.steps_factor if depth else 1),
            max_tokens=settings.max_tokens,
            max_cost_usd=self.budget.max_cost_usd or 0.0,
            max_depth=depth,
        )
        tools = parts.parking is not None and bool(job.chat.body.get("tools"))
        self._context = FlowContext(
            job=job,
            pool=self._pool,
            allowed=self.eligible.workers,
            needs=list(_answer_needs(job)),
            max_steps=max_steps,
            call_timeout_s=self.budget.call_timeout_s,
            meter=Meter(budget, self.ledger, carried),
            planner=parts.planner,
            router=parts.router,
            strengths=parts.strengths or {},
            deadline=self.deadline,
            settings=settings,
            emit=self._emit,
            started=self.deadline.clock.monotonic(),
            calls=OpenCalls(parts.parking.ids, job.tenant) if tools and parts.parking is not None else None,
            memory=memory,
        )
        return self._context

    async def _finish(
        self, context: FlowContext, flow: Flow, state: GraphState, *, parked: tuple[str, ParkedWorkflow] | None
    ) -> None:
        answer = Answer(self._job, self._record, self.ledger, flow, version=context.planner_version)
        if state.waiting:
            await self._park(context, state, parked)
            for event in answer.waiting(state, context.calls, expires_in_s=self._parts.settings.parked_ttl_s):
                await self._emit(event)
            return
        for event in answer.finished(state):
            await self._emit(event)

    async def _park(self, context: FlowContext, state: GraphState, parked: tuple[str, ParkedWorkflow] | None) -> None:
        parking, calls = self._parts.parking, context.calls
        if parking is None or calls is None:
            raise InternalError("A step waits for tools that nobody offered.")
        before = ((*parked[1].lineage, parked[0]), parked[1].decisions) if parked is not None else ((), ())
        waiting = ParkedWorkflow(
            state=state,
            planner=context.planner_name,
            memory=context.memory,
            lineage=before[0],
            decisions=(*before[1], self._job.request_id),
            carried=context.meter.used(),
        )
        await parking.park(self._job.tenant, calls.workflow_id, waiting)

    async def _fall_back(self, error: KubefuguError) -> None:
        """No valid plan: the loop answers, and the events say why (PlanFailed came before)."""
        _log.warning("workflow_fell_back", reason=type(error).__name__)
        loop = CoordinationLoop(
            self._job, pool=self._pool, router=self._parts.router, deadline=self.deadline, settings=self._parts.loop_settings
        )
        for usage in self.ledger.calls:
            loop.ledger.book(usage, 0.0)
        loop.ledger.cost_usd = self.ledger.cost_usd
        self.ledger = loop.ledger
        async with aclosing(loop.events()) as events:
            async for event in events:
                await self._emit(event)


def _allowed(job: Job, pool: PoolSnapshot) -> Eligible:
    """Workers that the request allows, whose context is long enough and that may solve; other needs vary from step to step."""
    eligible = eligible_workers(replace(job.chat, needs={}), pool.pool.spec.workers)
    solvers = tuple(worker for worker in eligible.workers if Role.SOLVER in worker.roles)
    if not solvers:
        raise NoWorkerAvailableError("No allowed worker may take the role solver.")
    return Eligible(solvers, eligible.excluded)


def _answer_needs(job: Job) -> Mapping[Any, str]:
    """What the last step's worker must support. A conversation of tool messages is told as text to a worker without tools."""
    blank = {"role": "system", "content": ""}
    messages = [message if message["role"] == "user" else blank for message in job.chat.messages]
    return capability_needs({**job.chat.body, "messages": messages})


def _check(job: Job, pool: PoolSnapshot, parts: WorkflowParts) -> None:
    """Raises what makes the request impossible before anybody is asked."""
    if isinstance(n := job.chat.body.get("n"), int) and n > 1:
        raise InvalidRequestError("A workflow gives one choice (n).", field="n")
    needs_parking = bool(job.chat.body.get("tools")) or holds_our_calls(job.chat.messages)
    if needs_parking and parts.parking_pending:
        raise UnavailableError("The store of parked workflows cannot be reached yet; try again.")
    if job.chat.body.get("tools") and parts.parking is None:
        raise UnsupportedFeatureError("fugu-ultra takes no tools here: there is no store to park workflows in.", field="tools")
    # Raises UnsupportedFeatureError where no allowed worker could give the answer.
    eligible_workers(replace(job.chat, needs=_answer_needs(job)), pool.pool.spec.workers)
