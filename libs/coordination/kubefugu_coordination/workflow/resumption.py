"""Is a request the continuation of a parked workflow? Read from its messages alone. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubefugu_coordination.workflow.parking import GONE
from kubefugu_coordination.workflow.tool_ids import PREFIX, ToolCallIds
from kubefugu_core.errors import InvalidRequestError, WorkflowExpiredError


@dataclass(frozen=True, slots=True)
class Resumption:
    """Tool results for a parked workflow."""

    workflow_id: str
    results: Mapping[int, Any]
    """Message contents by call number."""


def holds_our_calls(messages: Sequence[Mapping[str, Any]]) -> bool:
    """True: the conversation ends in a tool result that may belong to a parked workflow."""
    return bool(messages) and str(messages[-1].get("tool_call_id", "")).startswith(PREFIX)


def find_resumption(messages: Sequence[Mapping[str, Any]], ids: ToolCallIds, tenant: str) -> Resumption | None:
    """What the conversation's end resumes: None unless it ends in tool messages behind calls of ours.

    Raises WorkflowExpiredError for ids that are not this tenant's, InvalidRequestError for results of several workflows.
    """
    end = len(messages)
    while end and messages[end - 1].get("role") == "tool":
        end -= 1
    if end in (0, len(messages)):
        return None
    results: dict[int, Any] = {}
    workflows: set[str] = set()
    for index in range(end, len(messages)):
        call_id = str(messages[index].get("tool_call_id", ""))
        if not call_id.startswith(PREFIX):
            continue
        ref = ids.read(tenant, call_id)
        if ref is None:
            raise WorkflowExpiredError(GONE, field=f"messages[{index}].tool_call_id")
        workflows.add(ref.workflow_id)
        results[ref.call] = messages[index].get("content")
    if not workflows:
        return None
    if len(workflows) > 1:
        raise InvalidRequestError("These tool results belong to several workflows.", field="messages")
    return Resumption(workflows.pop(), results)


def check_complete(resumption: Resumption, expected: Collection[int], *, ids: ToolCallIds, tenant: str) -> None:
    """Parallel calls return together. Raises InvalidRequestError naming the calls whose results are missing."""
    missing = [ids.mint(tenant, resumption.workflow_id, call) for call in sorted(set(expected) - set(resumption.results))]
    if missing:
        raise InvalidRequestError(f"The results of these tool calls are missing: {', '.join(missing)}.", field="messages")


def task_messages(
    messages: Sequence[Mapping[str, Any]], lineage: Collection[str], *, ids: ToolCallIds, tenant: str
) -> list[Mapping[str, Any]]:
    """The conversation as it was when the workflow began: everything before its first tool call."""
    for index, message in enumerate(messages):
        for call in message.get("tool_calls") or ():
            ref = ids.read(tenant, str(call.get("id", "")))
            if ref is not None and ref.workflow_id in lineage:
                return list(messages[:index])
    raise InvalidRequestError("The message with the tool calls that these results answer is missing.", field="messages")
