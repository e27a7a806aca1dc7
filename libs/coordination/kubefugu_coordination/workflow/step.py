"""The worker calls of one step: the planned worker, then the other allowed ones, until one answers or calls tools."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from kubefugu_coordination.capabilities import least_tokens
from kubefugu_coordination.clock import Deadline
from kubefugu_coordination.events import Delta, Event, Outcome, StepEnded, StepStarted, TurnEnded, TurnStarted
from kubefugu_coordination.loop.calls import Turn, TurnCalls, TurnResult
from kubefugu_coordination.loop.candidates import affordable
from kubefugu_coordination.loop.failures import Failures
from kubefugu_coordination.workers.client import WorkerClient
from kubefugu_coordination.workflow.context import FlowContext
from kubefugu_coordination.workflow.order import asking_order
from kubefugu_coordination.workflow.step_prompt import StepPrompt
from kubefugu_coordination.workflow.step_request import TOOL_FIELDS, offers_tools, step_body
from kubefugu_coordination.workflow.tool_stream import ToolCallStream, unique_id
from kubefugu_core.errors import BudgetExceededError, InternalError, KubefuguError, WorkerProtocolError, WorkerRefusedError
from kubefugu_core.pool import Role, WorkerSpec

_THOUGHT = re.compile(r"(?s)^\s*<think(?:ing)?>.*?</think(?:ing)?>\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTask:
    """What is to be done, by whom first, until when."""

    index: int
    path: str
    planned: str
    prompt: StepPrompt
    transcript: Sequence[Mapping[str, Any]]
    """The worker's earlier tool calls in this step, and their results."""
    is_answer: bool
    """True: the reply is what the client gets; it is streamed where the client asked for that."""
    deadline: Deadline


@dataclass(frozen=True, slots=True)
class Waits:
    """The worker called tools."""

    worker: str
    message: dict[str, Any]
    """The assistant's message with the worker's own call ids."""
    calls: Mapping[int, str]
    """Number in the parked workflow -> the worker's own id."""
    result: TurnResult


class StepCalls:
    """Runs one step's calls. `run` once."""

    def __init__(self, context: FlowContext, task: StepTask) -> None:
        self._context = context
        self._task = task
        self._failures = Failures()
        self._streamed = False
        self._own_ids: dict[str, int] = {}
        self._declined = False

    def failed_before(self, worker: str, error: KubefuguError) -> None:
        """Note a try that was made elsewhere."""
        self._failures.add(worker, error)

    async def run(self) -> TurnResult | Waits:
        """The reply. Raises the summary of all failures; a stream that broke off raises its own error."""
        left = self._order(self._asked(), ranking=())
        asked_router = False
        while left:
            if len(self._failures) and not asked_router:
                asked_router = True
                ranking = await self._context.ranking(self._task.prompt.subtask, left)
                left = self._order(left, ranking=ranking)
            worker = left.pop(0)
            outcome = await self._ask(worker, alone=not left)
            if outcome is not None:
                return outcome
        raise self._failures.summary()

    def _asked(self) -> Sequence[WorkerSpec]:
        allowed = self._context.allowed
        if self._context.settings.failover:
            return allowed
        return [worker for worker in allowed if worker.name == self._task.planned]

    def _order(self, workers: Sequence[WorkerSpec], *, ranking: Sequence[str]) -> list[WorkerSpec]:
        """Workers to ask, best first. Raises BudgetExceededError where none of those that are able can be paid."""
        needs = self._context.needs if self._task.is_answer else ()
        by_name = {worker.name: worker for worker in workers}
        ordered = [
            by_name[name]
            for name in asking_order(self._task.planned, workers, needs=needs, ranking=ranking, declined=self._declined)
        ]
        left_usd = self._context.meter.left_usd()
        payable = affordable(
            ordered, left_usd=left_usd, prompt_tokens=least_tokens(self._context.job.chat), completion_tokens=0
        )
        if ordered and not payable:
            raise BudgetExceededError(
                f"No allowed worker can be paid from the {left_usd or 0:g} US dollars that are left.",
                field="kubefugu.max_cost_usd",
            )
        # Resting workers come last: they are only asked where nobody else is left.
        return sorted(payable, key=lambda worker: not self._client(worker).admission.breaker.available)

    def _client(self, worker: WorkerSpec) -> WorkerClient:
        return self._context.pool.client(worker.name)

    async def _ask(self, worker: WorkerSpec, *, alone: bool) -> TurnResult | Waits | None:
        """One worker's reply; None where it failed or declined before anything of an answer was seen."""
        context, task = self._context, self._task
        body = step_body(
            context.job.worker_body(coordinated=True),
            messages=[*task.prompt.messages(narrow=worker.specialist), *task.transcript],
            final=task.is_answer,
            capabilities=worker.capabilities,
        )
        if context.settings.step_max_tokens and not task.is_answer:
            body["max_tokens"] = context.settings.step_max_tokens
        tools = context.calls is not None and offers_tools(body)
        if not tools:
            body = {name: value for name, value in body.items() if name not in TOOL_FIELDS}
        calls = TurnCalls(
            job=context.job,
            turn=Turn(task.index, Role.SOLVER, "", body, [self._client(worker)]),
            ledger=context.meter.ledger,
            deadline=task.deadline,
            call_timeout_s=self._timeout_s(alone),
            keep_text=context.settings.keep_text or tools,
        )
        stream = ToolCallStream(self._rename) if tools else None
        try:
            await self._drive(calls, stream)
            return await self._conclude(calls, stream, tools)
        except KubefuguError as error:
            if context.streamed:
                raise
            self._failures.add(worker.name, error)
            return None

    def _timeout_s(self, alone: bool) -> float:
        share = 1.0 if alone else self._context.settings.first_try_share
        return min(self._context.call_timeout_s, share * max(0.0, self._task.deadline.remaining_s()))

    async def _drive(self, calls: TurnCalls, stream: ToolCallStream | None) -> None:
        """Run the call and tell its events as a step's. A declining specialist raises WorkerRefusedError."""
        streamed = self._task.is_answer and self._context.job.chat.stream
        declined = False
        try:
            async with aclosing(calls.streamed() if streamed else calls.plain()) as events:
                async for event in events:
                    declined = declined or (isinstance(event, TurnEnded) and event.outcome is Outcome.DECLINED)
                    await self._tell(event, stream)
        except KubefuguError as error:
            if declined:
                self._declined = True
                raise WorkerRefusedError("The worker declined.") from error
            raise

    async def _tell(self, event: Event, stream: ToolCallStream | None) -> None:
        context, task = self._context, self._task
        if isinstance(event, Delta):
            self._streamed = context.streamed = True
            await context.emit(Delta(stream.feed(event.sse)) if stream is not None else event)
        elif isinstance(event, TurnStarted):
            await context.emit(StepStarted(task.index, event.worker, task.path, context.elapsed_ms()))
        elif isinstance(event, TurnEnded):
            await context.emit(self._ended(event, tool_calls=0))
        else:
            await context.emit(event)

    def _ended(self, event: TurnEnded, *, tool_calls: int) -> StepEnded:
        return StepEnded(
            step=self._task.index,
            worker=event.worker,
            outcome=Outcome.WAITING if tool_calls else event.outcome,
            usage=event.usage,
            cost_usd=event.cost_usd,
            duration_ms=event.duration_ms,
            error=event.error,
            path=self._task.path,
            tool_calls=tool_calls,
            text=event.text,
        )

    async def _conclude(self, calls: TurnCalls, stream: ToolCallStream | None, tools: bool) -> TurnResult | Waits:
        """What the finished call means. Raises WorkerProtocolError for a reply that is only calls of tools nobody offered."""
        result = calls.answer
        message = _calling_message(result) if stream is None or not self._streamed else stream.message
        if message is None:
            await self._context.emit(self._ended(calls.ended(Outcome.OK), tool_calls=0))
            text = _THOUGHT.sub("", result.text)
            return replace(result, text=text or result.text)
        if not tools:
            if result.text and result.reply is not None and not self._task.is_answer:
                await self._context.emit(self._ended(calls.ended(Outcome.OK), tool_calls=0))
                return result
            error = WorkerProtocolError(f"Worker {result.worker} called tools that it was not offered.")
            await self._context.emit(replace(self._ended(calls.ended(Outcome.FAILED), tool_calls=0), error=error))
            raise error
        numbers = {self._number(call["id"]): str(call["id"]) for call in message["tool_calls"]}
        await self._context.emit(self._ended(calls.ended(Outcome.OK), tool_calls=len(numbers)))
        return Waits(result.worker, message, numbers, result)

    def _rename(self, own_id: str) -> str:
        """Our id for a call of the worker's."""
        if self._context.calls is None:
            raise InternalError("Tools were offered without a place to wait for their results.")
        number, client_id = self._context.calls.add()
        self._own_ids[own_id] = number
        return client_id

    def _number(self, own_id: str) -> int:
        if own_id not in self._own_ids:
            self._rename(own_id)
        return self._own_ids[own_id]


def _calling_message(result: TurnResult) -> dict[str, Any] | None:
    """The assistant's message of a whole reply that calls tools; None for any other."""
    if result.reply is None or not result.reply.tool_calls:
        return None
    said = result.reply.message
    calls: list[dict[str, Any]] = []
    for call in result.reply.tool_calls:
        function = call.get("function") or {}
        calls.append(
            {
                "id": unique_id(call.get("id"), [known["id"] for known in calls]),
                "type": "function",
                "function": {"name": str(function.get("name", "")), "arguments": str(function.get("arguments", ""))},
            }
        )
    return {"role": "assistant", "content": said.get("content"), "tool_calls": calls}
