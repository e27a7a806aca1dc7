"""One Execute call: its events on their way to the client, its decision record, its counts; however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from kubefugu.executor.v1 import executor_pb2 as pb
from kubefugu_coordination.clock import Clock
from kubefugu_coordination.decisions import DecisionRecorder, RecordStatus
from kubefugu_coordination.events import Delta, Event, PlanFailed, Planned, Routed, StepEnded, TurnEnded
from kubefugu_core.errors import NoWorkerAvailableError
from kubefugu_core.stores import BufferedDecisions
from kubefugu_core.stores.buffered import PendingDecision
from kubefugu_executor.convert import event_to_proto
from kubefugu_executor.counters import PolicyCounters
from kubefugu_executor.metrics import ExecutorMetrics


class Execution:
    """Drives a request's events. `finish` is idempotent; `abort` ends the events from outside."""

    def __init__(
        self,
        recorder: DecisionRecorder,
        *,
        clock: Clock,
        decisions: BufferedDecisions,
        metrics: ExecutorMetrics,
        counters: PolicyCounters,
    ) -> None:
        self.recorder = recorder
        self._clock = clock
        self._decisions = decisions
        self._metrics = metrics
        self._counters = counters
        self._started = clock.monotonic()
        self._events: AsyncGenerator[Event, None] | None = None
        self._aborting: asyncio.Task[None] | None = None

    async def responses(self, events: AsyncGenerator[Event, None]) -> AsyncGenerator[pb.ExecuteResponse, None]:
        """The events as messages, while they are noted. Ends with the record closed."""
        self._events = events
        try:
            async with aclosing(events):
                async for event in events:
                    self._note(event)
                    if (response := event_to_proto(event)) is not None:
                        yield response
        except BaseException as error:
            self.finish(error)
            raise
        self.finish(None)

    def _note(self, event: Event) -> None:
        if isinstance(event, Delta):
            self.recorder.note_delta(self._clock.monotonic() - self._started)
            return
        self.recorder.note(event)
        if isinstance(event, TurnEnded | Routed | StepEnded | Planned | PlanFailed):
            self._metrics.note(event)

    def finish(self, error: BaseException | None) -> None:
        """Close the record and count the request."""
        seconds = self._clock.monotonic() - self._started
        if not self.recorder.finish(error, elapsed_ms=seconds * 1e3):
            return
        recorder = self.recorder
        status = recorder.status or RecordStatus.FAILED
        self._metrics.request_ended(recorder.mode.value, status.value, seconds)
        job = recorder.job
        self._decisions.put(PendingDecision(job.tenant, job.request_id, recorder.started_at, recorder.render))
        if isinstance(error, NoWorkerAvailableError):
            # Every allowed worker was tried, or rests: whoever decided, nobody could have answered.
            return
        failed = status is RecordStatus.FAILED
        self._counters.count(recorder.policy_version, failed=failed, declined=recorder.declined)
        # A Conductor without a valid plan has failed, although the loop answered in its place.
        self._counters.count(recorder.planner_version, failed=failed or recorder.plan_failed, declined=recorder.declined)

    def abort(self, context: object = None) -> None:
        """The call is over, whoever ended it: make sure that nothing goes on downstream.

        gRPC cancels the handler where it waits. When that is in the middle of writing, the generators are suspended and would
        only be closed by the garbage collector; here they are closed at once.
        """
        if self.recorder.status is None and self._events is not None:
            self._aborting = asyncio.get_running_loop().create_task(self._close(self._events))

    async def _close(self, events: AsyncGenerator[Event, None]) -> None:
        try:
            await events.aclose()
        except RuntimeError:
            # It is running: the cancellation was delivered inside of it.
            return
        self.finish(asyncio.CancelledError())
