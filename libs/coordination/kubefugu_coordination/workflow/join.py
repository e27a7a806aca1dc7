"""The built-in worker `@join`: the results that a step sees, one after the other, word for word.

Small models that are told to put parts together drop some and alter others. Where nothing is to be worked out, nobody needs to
be asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kubefugu_coordination.events import Outcome, StepEnded, StepStarted
from kubefugu_coordination.loop.calls import TurnResult
from kubefugu_coordination.workers.reply import TokenUsage, WorkerReply
from kubefugu_coordination.workflow.plan import JOIN_WORKER
from kubefugu_coordination.workflow.step_prompt import VisibleStep

if TYPE_CHECKING:
    from kubefugu_coordination.workflow.context import FlowContext


def joined(visible: Sequence[VisibleStep]) -> str:
    """The results in the order of their steps, one paragraph each; a failed step is named instead of passed over."""
    parts = [step.output.strip() if step.output is not None else f"(No answer to: {step.subtask})" for step in visible]
    return "\n\n".join(part for part in parts if part)


async def join_results(context: FlowContext, visible: Sequence[VisibleStep], *, step: int, path: str) -> TurnResult:
    """Do the step, tell about it like about any other, and book a call that spent nothing."""
    await context.emit(StepStarted(step, JOIN_WORKER, path, context.elapsed_ms()))
    usage, text = TokenUsage(), joined(visible)
    await context.emit(StepEnded(step=step, worker=JOIN_WORKER, outcome=Outcome.OK, usage=usage, path=path, text=text))
    message = {"role": "assistant", "content": text, "refusal": None}
    completion = {"choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}]}
    reply = WorkerReply(JOIN_WORKER, completion, usage, 0.0, 0.0)
    call = context.meter.ledger.book(usage, 0.0)
    return TurnResult(JOIN_WORKER, 1, call, usage, 0.0, 0.0, reply, text)
