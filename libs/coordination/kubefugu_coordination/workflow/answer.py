"""The last events of a workflow's request: its answer, or the tool calls that it hands to the client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kubefugu_coordination.completion import completion_frames, finished_completion, last_frames
from kubefugu_coordination.events import Delta, Done, Event, Parked, StopReason
from kubefugu_coordination.job import Job
from kubefugu_coordination.loop.calls import TurnResult
from kubefugu_coordination.spend import Ledger
from kubefugu_coordination.workflow.flow import Flow
from kubefugu_coordination.workflow.parking import OpenCalls
from kubefugu_coordination.workflow.recall import called
from kubefugu_coordination.workflow.record import WorkflowRecord
from kubefugu_coordination.workflow.state import GraphState
from kubefugu_core.errors import InternalError
from kubefugu_core.pool import Role


class Answer:
    """Writes one request's last events."""

    def __init__(self, job: Job, record: WorkflowRecord, ledger: Ledger, flow: Flow, *, version: str) -> None:
        """`version`: of the trained Conductor that planned; empty for any other planner."""
        self._version = version
        self._job = job
        self._record = record
        self._ledger = ledger
        self._flow = flow

    def finished(self, state: GraphState) -> Iterator[Event]:
        """The answer of the last step."""
        result = self._flow.answer
        if result is None:
            raise InternalError("A workflow ended without an answer.")
        completion = result.reply.completion if result.reply is not None else None
        yield from self._end(result, completion, StopReason.WORKFLOW, steps=len(state.plan.steps))

    def waiting(self, state: GraphState, calls: OpenCalls | None, *, expires_in_s: float) -> Iterator[Event]:
        """The open calls of all steps, as one assistant message."""
        if calls is None:
            raise InternalError("A step waits for tools that nobody offered.")
        open_calls = called(state)
        yield Parked(calls.workflow_id, len(open_calls), expires_in_s)
        result = self._flow.answer if self._flow.waiting_message is not None else None
        completion = None
        if result is None or result.reply is not None:
            # A streamed answer's calls have left already, with the ids that are waited for.
            said = (self._flow.waiting_message or {}).get("content")
            completion = _calling_completion(self._job, calls, open_calls, said)
        yield from self._end(result, completion, StopReason.TOOL_CALLS, steps=len(state.results) + len(state.waiting))

    def _end(
        self, result: TurnResult | None, completion: dict[str, Any] | None, stop: StopReason, *, steps: int
    ) -> Iterator[Event]:
        job = self._job
        spent = self._ledger.spent(answer=result.call if result is not None else None)
        explain = None
        if job.chat.options.explain:
            workflow = self._record.document()
            explain = {"decision_id": job.request_id, "stop_reason": stop.value, "workflow": workflow}
        body = b""
        if job.chat.stream:
            frames = completion_frames(job, completion) if completion is not None else b""
            reported = completion.get("usage") if completion is not None else result.usage_report if result else None
            yield Delta(frames + last_frames(job, spent, reported=reported, explain=explain))
        else:
            body = finished_completion(job, completion or {}, spent, explain=explain)
        yield Done(
            completion_json=body,
            spent=spent,
            worker=result.worker if result is not None else "",
            role=Role.SOLVER,
            policy_version=self._version,
            turns=steps,
            stop_reason=stop,
        )


def _calling_completion(job: Job, calls: OpenCalls, open_calls: dict[int, tuple[str, str]], content: object) -> dict[str, Any]:
    tool_calls = [
        {
            "id": calls.ids.mint(job.tenant, calls.workflow_id, number),
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
        for number, (name, arguments) in sorted(open_calls.items())
    ]
    message = {"role": "assistant", "content": content, "refusal": None, "tool_calls": tool_calls}
    return {"choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls"}]}
