"""The gRPC service: finds out what a request asks for, runs it, and answers questions about workers, models and decisions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, TypeAlias, cast

import grpc
import orjson

from kubefugu.executor.v1 import executor_pb2 as pb
from kubefugu.executor.v1 import executor_pb2_grpc
from kubefugu_coordination.clock import Clock, Deadline
from kubefugu_coordination.decisions import DecisionRecorder
from kubefugu_coordination.events import Event
from kubefugu_coordination.job import Job
from kubefugu_coordination.loop.passthrough import PassThrough
from kubefugu_coordination.loop.router import Router
from kubefugu_coordination.loop.runner import CoordinationLoop, LoopSettings
from kubefugu_coordination.workers import PoolSnapshot, WorkerClient, WorkerSet
from kubefugu_coordination.workflow.record import record_svg
from kubefugu_coordination.workflow.runner import WorkflowRun
from kubefugu_core.chat import ChatLimits, parse_chat_request
from kubefugu_core.errors import DecisionNotFoundError, InvalidRequestError, ModelNotFoundError, OverloadedError
from kubefugu_core.options import Mode
from kubefugu_core.rpc.server import MAX_MESSAGE_BYTES
from kubefugu_core.stores import BufferedDecisions
from kubefugu_executor.counters import PolicyCounters
from kubefugu_executor.execution import Execution
from kubefugu_executor.metrics import ExecutorMetrics
from kubefugu_executor.models import Target, list_models, resolve_model
from kubefugu_executor.workflows import Workflows

Context: TypeAlias = "grpc.aio.ServicerContext[object, object]"

_WIDE = ChatLimits(max_body_bytes=MAX_MESSAGE_BYTES, max_messages=1_000_000)
"""The gateway has the say about sizes; here only what a message can carry bounds them."""
_MARGIN_S = 0.2
"""So much earlier than the caller's deadline we end a request ourselves, with an error that says why."""


class ExecutorServicer(executor_pb2_grpc.ExecutorServiceServicer):
    """See executor.proto."""

    def __init__(
        self,
        *,
        workers: WorkerSet,
        router: Router,
        decisions: BufferedDecisions,
        metrics: ExecutorMetrics,
        clock: Clock,
        loop_settings: LoopSettings,
        workflows: Workflows | None = None,
        max_in_flight: int = 2048,
    ) -> None:
        self._workers = workers
        self._router = router
        self._decisions = decisions
        self._metrics = metrics
        self._clock = clock
        self._loop_settings = loop_settings
        self._workflows = workflows
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self._counters = PolicyCounters()
        self._started_s = int(clock.time())

    async def Execute(self, request: pb.ExecuteRequest, context: Context) -> AsyncIterator[pb.ExecuteResponse]:
        """Run one request."""
        if self._in_flight >= self._max_in_flight:
            raise OverloadedError("Too many requests in flight; try again.")
        job = self._job(request)
        pool = self._workers.snapshot()
        deadline = Deadline.after(max(0.0, (context.time_remaining() or 0.0) - _MARGIN_S), self._clock)
        execution = self._execution(job, pool)
        context.add_done_callback(cast("Any", execution.abort))
        self._in_flight += 1
        self._metrics.in_flight.set(self._in_flight)
        try:
            async for response in execution.responses(self._events(job, pool, deadline, execution.recorder)):
                yield response
        finally:
            self._in_flight -= 1
            self._metrics.in_flight.set(self._in_flight)

    def _job(self, request: pb.ExecuteRequest) -> Job:
        if not request.request_id:
            raise InvalidRequestError("A request needs an id.", field="request_id")
        chat = parse_chat_request(request.chat_request_json, limits=_WIDE)
        created = request.created or int(self._clock.time())
        return Job(chat=chat, request_id=request.request_id, tenant=request.tenant, created=created)

    def _execution(self, job: Job, pool: PoolSnapshot) -> Execution:
        recorder = DecisionRecorder(
            job, pool=pool.name, started_at=self._clock.time(), keep_content=self._loop_settings.keep_text
        )
        return Execution(recorder, clock=self._clock, decisions=self._decisions, metrics=self._metrics, counters=self._counters)

    async def _events(
        self, job: Job, pool: PoolSnapshot, deadline: Deadline, recorder: DecisionRecorder
    ) -> AsyncGenerator[Event, None]:
        """The events of whichever runner the model asks for. What it refuses is raised from here, so that it is recorded."""
        target = resolve_model(job.chat.model, pool)
        recorder.mode = target.mode
        events = self._run(target, job, pool, deadline, recorder)
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()

    def _run(
        self, target: Target, job: Job, pool: PoolSnapshot, deadline: Deadline, recorder: DecisionRecorder
    ) -> AsyncGenerator[Event, None]:
        if target.mode is Mode.WORKER:
            return PassThrough(
                job, pool=pool, worker=target.worker, deadline=deadline, keep_text=self._loop_settings.keep_text
            ).events()
        if target.mode is Mode.FUGU_ULTRA:
            if self._workflows is None:
                raise ModelNotFoundError(
                    "fugu-ultra needs a Conductor, and this executor has none (conductor_target is not set).", field="model"
                )
            run = WorkflowRun(job, pool=pool, parts=self._workflows.parts, deadline=deadline)
            recorder.prepared(
                excluded=run.eligible.excluded,
                max_turns=run.budget.max_turns,
                max_steps=run.max_steps,
                max_cost_usd=run.budget.max_cost_usd,
            )
            return run.events()
        loop = CoordinationLoop(job, pool=pool, router=self._router, deadline=deadline, settings=self._loop_settings)
        recorder.prepared(
            excluded=loop.eligible.excluded, max_turns=loop.budget.max_turns, max_cost_usd=loop.budget.max_cost_usd
        )
        return loop.events()

    async def GetDecision(self, request: pb.GetDecisionRequest, context: Context) -> pb.GetDecisionResponse:
        """Read a decision record back."""
        payload = await self._decisions.get(request.tenant, request.request_id)
        if payload is None:
            raise DecisionNotFoundError(f"There is no decision record {request.request_id!r}.", field="id")
        if request.graph:
            return pb.GetDecisionResponse(graph_svg=_graph_svg(payload, request.request_id))
        return pb.GetDecisionResponse(decision_json=payload)

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        """Models that can be asked for."""
        models = list_models(self._workers.snapshot(), with_workflows=self._workflows is not None, created_s=self._started_s)
        return pb.ListModelsResponse(models=models)

    async def ListWorkers(self, request: pb.ListWorkersRequest, context: Context) -> pb.ListWorkersResponse:
        """State of the pool's workers."""
        pool = self._workers.snapshot()
        return pb.ListWorkersResponse(pool=pool.name, workers=[_worker_state(client) for client in pool.clients.values()])

    async def GetPolicyCounters(self, request: pb.GetPolicyCountersRequest, context: Context) -> pb.GetPolicyCountersResponse:
        """Counts by policy version."""
        return pb.GetPolicyCountersResponse(policies=self._counters.to_proto())


def _worker_state(client: WorkerClient) -> pb.WorkerState:
    stats = client.admission.stats
    return pb.WorkerState(
        name=client.name,
        model=client.spec.model,
        url=client.url,
        breaker=client.admission.breaker.state.value,
        in_flight=stats.in_flight,
        calls=stats.calls,
        failures=stats.failures,
        declined=stats.declined,
        latency_ms_ewma=stats.latency_ms_ewma,
    )


def _graph_svg(record: bytes, request_id: str) -> str:
    workflow = orjson.loads(record).get("workflow")
    svg = record_svg(workflow) if workflow else None
    if svg is None:
        raise DecisionNotFoundError(f"The request {request_id!r} planned no workflow.", field="id")
    return svg
