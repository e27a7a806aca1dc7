"""What a worker of a workflow is sent, as a pure function of exactly what it may see (intra-workflow isolation).

The conversation comes first, unchanged (system messages, history and images included); then what the step may see of earlier
steps; the subtask alone is the last user message, so that a narrow worker which reads nothing else still gets its question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubefugu_coordination.workflow.transcript import last_role

_NOTHING_YET = "I will do this step by step. Tell me the next step."
_GO_ON = "Tell me the next step."
_UNAVAILABLE = "(This step failed; its result is not available.)"


@dataclass(frozen=True, slots=True)
class VisibleStep:
    """What a step sees of an earlier one. `output` is None where that step failed."""

    subtask: str
    output: str | None


def step_messages(
    conversation: Sequence[Mapping[str, Any]], *, visible: Sequence[VisibleStep], subtask: str, memory: str = ""
) -> list[dict[str, Any]]:
    """Messages of one step's worker call. `memory` is the text of tool calls of earlier workflows of the conversation."""
    messages = [dict(message) for message in conversation]
    seen = _seen(visible, memory)
    if last_role(messages) == "assistant":
        # Two assistant messages in a row are refused by some chat templates.
        messages.append({"role": "user", "content": f"{seen}\n\n{subtask}" if seen else subtask})
        return messages
    messages.append({"role": "assistant", "content": f"{seen}\n\n{_GO_ON}" if seen else _NOTHING_YET})
    messages.append({"role": "user", "content": subtask})
    return messages


def _seen(visible: Sequence[VisibleStep], memory: str) -> str:
    parts = [memory] if memory else []
    for number, step in enumerate(visible, start=1):
        output = _UNAVAILABLE if step.output is None else step.output
        parts.append(f"Result {number} - {step.subtask}\n{output}")
    return "\n\n".join(parts)
