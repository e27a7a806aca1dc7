"""What a worker of a workflow is sent, as a pure function of exactly what it may see (intra-workflow isolation).

The client's conversation comes first, with system messages, history and images. What follows depends on who reads it: a
language model gets results and subtask at the end of the last user message, where small models follow them best; a narrow
engine gets the subtask alone as the last user message, because it reads nothing else. A subtask that is the client's last
message as it stands adds nothing: the conversation is sent as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubefugu_coordination.workflow.transcript import last_role, message_text

_UNAVAILABLE = "(this step failed; its result is not available)"
_NOTHING_YET = "Tell me the first part."
_GO_ON = "Tell me the next part."


@dataclass(frozen=True, slots=True)
class VisibleStep:
    """What a step sees of an earlier one. `output` is None where that step failed."""

    subtask: str
    output: str | None


@dataclass(frozen=True, slots=True)
class StepPrompt:
    """Everything that a step's worker may see."""

    conversation: Sequence[Mapping[str, Any]]
    visible: Sequence[VisibleStep]
    subtask: str
    memory: str = ""
    """Tool calls of earlier workflows of the conversation, as text."""

    def messages(self, *, narrow: bool = False) -> list[dict[str, Any]]:
        """Messages for a language model, or for a narrow engine (a worker declared `specialist`)."""
        return self._for_engine() if narrow else self._for_model()

    def _is_the_task(self) -> bool:
        """True: the step is the client's last message as it stands, so the conversation alone says it best."""
        last = self.conversation[-1] if self.conversation else {}
        alone = not self.visible and not self.memory and last.get("role") == "user"
        return alone and message_text(last).split() == self.subtask.split()

    def _for_model(self) -> list[dict[str, Any]]:
        messages = [dict(message) for message in self.conversation]
        if self._is_the_task():
            return messages
        known = self._known()
        text = f"{known}\n\nDo only this part now: {self.subtask}" if known else f"Do only this part now: {self.subtask}"
        if last_role(messages) != "user":
            return [*messages, {"role": "user", "content": text}]
        content = messages[-1].get("content")
        if isinstance(content, list):
            messages[-1]["content"] = [*content, {"type": "text", "text": text}]
        else:
            messages[-1]["content"] = f"{content or ''}\n\n{text}"
        return messages

    def _for_engine(self) -> list[dict[str, Any]]:
        messages = [dict(message) for message in self.conversation]
        if self._is_the_task():
            return messages
        if last_role(messages) != "assistant":
            # Between two user messages, because roles should alternate.
            known = self._known()
            messages.append({"role": "assistant", "content": f"{known}\n\n{_GO_ON}" if known else _NOTHING_YET})
        messages.append({"role": "user", "content": self.subtask})
        return messages

    def _known(self) -> str:
        parts = [self.memory] if self.memory else []
        if self.visible:
            parts.append("Known so far:")
        for step in self.visible:
            parts.append(f"- {step.subtask}\n{_UNAVAILABLE if step.output is None else step.output}")
        return "\n".join(parts)
