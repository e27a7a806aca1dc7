"""The worker calls of one turn: candidate after candidate until one answers, as events. Fails over only before the first byte.

`TurnCalls.plain` asks for whole replies, `TurnCalls.streamed` passes a stream through. Both leave what came of it in `result`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar

from kubefugu_coordination.clock import Deadline
from kubefugu_coordination.completion import finish_frame
from kubefugu_coordination.events import Delta, Event, Outcome, Progress, TurnEnded, TurnStarted
from kubefugu_coordination.job import Job
from kubefugu_coordination.loop.commit import Head, Opening, read_head
from kubefugu_coordination.loop.failures import Failures
from kubefugu_coordination.rewrite import ChunkRewriter
from kubefugu_coordination.spend import Ledger
from kubefugu_coordination.workers.client import WorkerClient
from kubefugu_coordination.workers.reply import TokenUsage, WorkerReply
from kubefugu_coordination.workers.stream import WorkerStream
from kubefugu_core.errors import DeadlineExceededError, InternalError, KubefuguError, WorkerProtocolError, WorkerRefusedError
from kubefugu_core.pool import Role

_DRAIN_S = 2.0
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn as it was decided."""

    number: int
    role: Role
    policy_version: str
    body: Mapping[str, Any]
    """What every candidate is sent."""
    clients: Sequence[WorkerClient]
    """Candidates, best first."""
    coordinated: bool = True
    """False: a worker called by its own name; its refusal or empty reply is the answer."""


@dataclass(frozen=True, slots=True)
class TurnResult:
    """What came of a turn."""

    worker: str
    attempt: int
    call: int
    """Number of the call in the ledger."""
    usage: TokenUsage
    cost_usd: float
    duration_ms: float
    reply: WorkerReply | None = None
    """None after a streamed turn."""
    text: str = ""
    usage_report: dict[str, Any] | None = None
    """The worker's own usage object."""


@dataclass(slots=True)
class TurnCalls:
    """Runs a turn's calls. One object a turn."""

    job: Job
    turn: Turn
    ledger: Ledger
    deadline: Deadline
    call_timeout_s: float
    progress_s: float | None = None
    """Seconds between signs of life while a reply is awaited; None: no signs."""
    keep_text: bool = False
    result: TurnResult | None = None
    _failures: Failures = field(default_factory=Failures)
    _first_token_ms: float | None = None

    async def plain(self) -> AsyncGenerator[Event, None]:
        """Ask for a whole reply. Raises the summary of all failures when no candidate answers."""
        for attempt, client in enumerate(self.turn.clients, start=1):
            started = self._begin_attempt(client)
            yield self._started(attempt, client)
            try:
                asking = client.complete(self.turn.body, deadline=self.deadline.within(self.call_timeout_s))
                async with aclosing(self._signed(client, asking)) as signs:
                    async for sign in signs:
                        if isinstance(sign, Progress):
                            yield sign
                        else:
                            reply = sign
                call = self.ledger.book(reply.usage, reply.cost_usd)
                refusal = self._refusal_of(client, reply)
            except KubefuguError as error:
                yield self._failed(attempt, client, error, started)
                continue
            if refusal is not None:
                yield self._declined(attempt, client, refusal, reply.usage, reply.cost_usd, started)
                continue
            self.result = TurnResult(
                client.name, attempt, call, reply.usage, reply.cost_usd, self._elapsed_ms(started), reply, reply.text
            )
            return
        raise self._failures.summary()

    async def streamed(self) -> AsyncGenerator[Event, None]:
        """Pass a stream through. After its first byte a failure is raised as it is; before, the next candidate is asked."""
        for attempt, client in enumerate(self.turn.clients, start=1):
            started = self._begin_attempt(client)
            yield self._started(attempt, client)
            committed = False
            try:
                async with AsyncExitStack() as stack:
                    async with aclosing(self._signed(client, self._open(client, stack))) as signs:
                        async for sign in signs:
                            if isinstance(sign, Progress):
                                yield sign
                            else:
                                stream, blocks, head = sign
                    if self.turn.coordinated and head.opening is Opening.REFUSAL and client.spec.specialist:
                        await _drain(blocks)
                        yield self._declined_stream(attempt, client, stream, started)
                        continue
                    if self.turn.coordinated and head.opening is Opening.NOTHING:
                        raise WorkerProtocolError(f"Worker {client.name} answered nothing.", metadata={"worker": client.name})
                    committed = True
                    self._first_token_ms = self._elapsed_ms(started)
                    rewriter = self._rewriter(client)
                    async for delta in self._pass_through(rewriter, head, blocks):
                        yield delta
                    self.result = self._stream_result(attempt, client, stream, rewriter, started)
            except KubefuguError as error:
                yield self._failed(attempt, client, error, started)
                if committed:
                    raise
                continue
            return
        raise self._failures.summary()

    def ended(self, outcome: Outcome, *, suggested_role: Role | None = None) -> TurnEnded:
        """The event for the call that answered; what it means depends on the role."""
        result = self.answer
        return TurnEnded(
            turn=self.turn.number,
            attempt=result.attempt,
            worker=result.worker,
            role=self.turn.role,
            outcome=outcome,
            usage=result.usage,
            cost_usd=result.cost_usd,
            duration_ms=result.duration_ms,
            first_token_ms=self._first_token_ms,
            suggested_role=suggested_role,
            text=result.text,
        )

    @property
    def answer(self) -> TurnResult:
        """The result; only after the events ended without an error."""
        if self.result is None:
            raise InternalError("A turn ended without a result.")
        return self.result

    def _rewriter(self, client: WorkerClient) -> ChunkRewriter:
        job = self.job
        rewriter = ChunkRewriter(worker=client.name, request_id=job.request_id, model=job.chat.model, created=job.created)
        if self.keep_text:
            rewriter.text = []
        return rewriter

    async def _pass_through(
        self, rewriter: ChunkRewriter, head: Head, blocks: AsyncIterator[bytes]
    ) -> AsyncGenerator[Delta, None]:
        if first := rewriter.rewrite(head.block):
            yield Delta(first)
        async for block in blocks:
            if ours := rewriter.rewrite(block):
                yield Delta(ours)
        if not rewriter.saw_finish:
            yield Delta(finish_frame(self.job, "stop"))

    def _stream_result(
        self, attempt: int, client: WorkerClient, stream: WorkerStream, rewriter: ChunkRewriter, started: float
    ) -> TurnResult:
        usage = stream.usage
        cost_usd = client.cost_usd(usage)
        return TurnResult(
            worker=client.name,
            attempt=attempt,
            call=self.ledger.book(usage, cost_usd),
            usage=usage,
            cost_usd=cost_usd,
            duration_ms=self._elapsed_ms(started),
            text="".join(rewriter.text or ()),
            usage_report=stream.usage_report,
        )

    async def _open(self, client: WorkerClient, stack: AsyncExitStack) -> tuple[WorkerStream, AsyncIterator[bytes], Head]:
        opening = client.stream(self.turn.body, deadline=self.deadline.within(self.call_timeout_s))
        stream = await stack.enter_async_context(opening)
        blocks = aiter(stream)
        return stream, blocks, await read_head(blocks, worker=client.name)

    async def _signed(
        self, client: WorkerClient, work: Coroutine[Any, Any, _Result]
    ) -> AsyncGenerator[_Result | Progress, None]:
        """The result of `work`, with signs of life before it where they are wanted."""
        if self.progress_s is None:
            yield await work
            return
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait({task}, timeout=self.progress_s))[0]:
                yield Progress(f"turn {self.turn.number}: {self.turn.role} {client.name} is at work")
            yield task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    def _begin_attempt(self, client: WorkerClient) -> float:
        if self.deadline.remaining_s() <= 0:
            raise DeadlineExceededError(
                "The request's deadline passed before a worker answered.", metadata={"limit": "request"}
            )
        return self.deadline.clock.monotonic()

    def _elapsed_ms(self, started: float) -> float:
        return (self.deadline.clock.monotonic() - started) * 1e3

    def _started(self, attempt: int, client: WorkerClient) -> TurnStarted:
        return TurnStarted(self.turn.number, attempt, client.name, self.turn.role, self.turn.policy_version)

    def _refusal_of(self, client: WorkerClient, reply: WorkerReply) -> str | None:
        if not self.turn.coordinated:
            return None
        if reply.refusal is not None and client.spec.specialist:
            return reply.refusal
        if reply.is_empty:
            raise WorkerProtocolError(f"Worker {client.name} answered nothing.", metadata={"worker": client.name})
        return None

    def _failed(self, attempt: int, client: WorkerClient, error: KubefuguError, started: float) -> TurnEnded:
        self._failures.add(client.name, error)
        return TurnEnded(
            turn=self.turn.number,
            attempt=attempt,
            worker=client.name,
            role=self.turn.role,
            outcome=Outcome.FAILED,
            duration_ms=self._elapsed_ms(started),
            first_token_ms=self._first_token_ms,
            error=error,
        )

    def _declined_stream(self, attempt: int, client: WorkerClient, stream: WorkerStream, started: float) -> TurnEnded:
        usage = stream.usage
        cost_usd = client.cost_usd(usage)
        self.ledger.book(usage, cost_usd)
        return self._declined(attempt, client, "", usage, cost_usd, started)

    def _declined(
        self, attempt: int, client: WorkerClient, refusal: str, usage: TokenUsage, cost_usd: float, started: float
    ) -> TurnEnded:
        client.admission.stats.declined += 1
        self._failures.add(client.name, WorkerRefusedError(f"Worker {client.name} declined.", metadata={"worker": client.name}))
        return TurnEnded(
            turn=self.turn.number,
            attempt=attempt,
            worker=client.name,
            role=self.turn.role,
            outcome=Outcome.DECLINED,
            usage=usage,
            cost_usd=cost_usd,
            duration_ms=self._elapsed_ms(started),
            text=refusal,
        )


async def _drain(blocks: AsyncIterator[bytes]) -> None:
    """Read a refusal to its end, for its usage; it is not worth waiting for."""
    try:
        async with asyncio.timeout(_DRAIN_S):
            async for _ in blocks:
                pass
    except (KubefuguError, TimeoutError):
        pass
