"""A worker called by its own name: no routing, no failover; its reply, refusal or error is the client's."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from kubefugu_coordination.capabilities import eligible_workers
from kubefugu_coordination.clock import Deadline
from kubefugu_coordination.completion import finished_completion, last_frames
from kubefugu_coordination.events import Delta, Done, Event, Outcome, StopReason
from kubefugu_coordination.job import Job
from kubefugu_coordination.loop.calls import Turn, TurnCalls
from kubefugu_coordination.spend import Ledger
from kubefugu_coordination.workers.registry import PoolSnapshot
from kubefugu_core.pool import Role


class PassThrough:
    """One request to one worker. Iterate `events` once; the last one is Done."""

    def __init__(self, job: Job, *, pool: PoolSnapshot, worker: str, deadline: Deadline, keep_text: bool = False) -> None:
        routing = pool.pool.spec.routing
        client = pool.client(worker)
        eligible_workers(job.chat, [client.spec])
        self._job = job
        self.ledger = Ledger()
        self._calls = TurnCalls(
            job=job,
            turn=Turn(1, Role.SOLVER, "", job.worker_body(coordinated=False), [client], coordinated=False),
            ledger=self.ledger,
            deadline=deadline.within(float(routing.request_timeout_seconds)),
            call_timeout_s=float(routing.request_timeout_seconds),
            keep_text=keep_text,
        )

    async def events(self) -> AsyncGenerator[Event, None]:
        """Run to the end."""
        job, calls = self._job, self._calls
        async with aclosing(calls.streamed() if job.chat.stream else calls.plain()) as events:
            async for event in events:
                yield event
        result = calls.answer
        spent = self.ledger.spent(answer=result.call)
        yield calls.ended(Outcome.OK)
        body = b""
        if result.reply is not None:
            body = finished_completion(job, result.reply.completion, spent)
        else:
            yield Delta(last_frames(job, spent, reported=result.usage_report))
        yield Done(body, spent, result.worker, Role.SOLVER, "", 1, StopReason.PASS_THROUGH)
