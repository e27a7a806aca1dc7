"""Tool-call memory around a workflow: what it starts with, and what it adds.

A memory that is away costs no request its answer.
"""

from __future__ import annotations

import structlog

from kubefugu_coordination.job import Job
from kubefugu_coordination.memory import ToolCallMemory, ToolCallRecord
from kubefugu_coordination.workers.reply import text_of
from kubefugu_coordination.workflow.resumption import Resumption
from kubefugu_coordination.workflow.state import GraphState
from kubefugu_coordination.workflow.tool_ids import ToolCallIds
from kubefugu_core.errors import UnavailableError

_log = structlog.get_logger()


async def recalled(memory: ToolCallMemory | None, job: Job) -> str:
    """Text of the conversation's earlier tool calls that it does not hold itself; "" without an explicit conversation."""
    conversation = job.chat.options.conversation
    if memory is None or conversation is None:
        return ""
    held = {str(call.get("id")) for message in job.chat.messages for call in message.get("tool_calls") or ()}
    try:
        return memory.text(await memory.recall(job.tenant, conversation), known_ids=held)
    except UnavailableError as error:
        _log.warning("tool_memory_unavailable", reason=error.message)
        return ""


async def remember(
    memory: ToolCallMemory | None, job: Job, state: GraphState, resumption: Resumption, ids: ToolCallIds
) -> None:
    """Add the calls that the client answered just now."""
    conversation = job.chat.options.conversation
    if memory is None or conversation is None:
        return
    records = [
        ToolCallRecord(
            ids.mint(job.tenant, resumption.workflow_id, number), name, arguments, text_of(resumption.results[number])
        )
        for number, (name, arguments) in sorted(called(state).items())
    ]
    try:
        await memory.remember(job.tenant, conversation, records)
    except UnavailableError as error:
        _log.warning("tool_memory_unavailable", reason=error.message)


def called(state: GraphState) -> dict[int, tuple[str, str]]:
    """Name and arguments of every open call, those of workflows below included, by call number."""
    found: dict[int, tuple[str, str]] = {}
    for step in state.waiting.values():
        functions = {call["id"]: call["function"] for call in (step.transcript[-1]["tool_calls"] if step.calls else ())}
        for number, own_id in step.calls.items():
            found[number] = (functions[own_id]["name"], functions[own_id]["arguments"])
        if step.child is not None:
            found.update(called(step.child))
    return found
