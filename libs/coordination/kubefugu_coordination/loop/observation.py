"""What the router reads: the conversation as text, with the solver's earlier thoughts at its end."""

from __future__ import annotations

from collections.abc import Sequence

from kubefugu_coordination.job import Message
from kubefugu_coordination.loop.prompts import thought_blocks

_NAMES = {"image_url": "image", "input_audio": "audio", "file": "file", "refusal": "refusal"}


def message_text(message: Message) -> str:
    """A message as text; content that is no text is named in square brackets."""
    content = message.get("content")
    parts: list[str] = []
    if isinstance(content, str):
        parts.append(content)
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, dict):
                text = part.get("text")
                parts.append(text if isinstance(text, str) else f"[{_NAMES.get(part.get('type', ''), 'part')}]")
    for call in message.get("tool_calls") or ():
        function = call.get("function") if isinstance(call, dict) else None
        name = function.get("name", "") if isinstance(function, dict) else ""
        parts.append(f"[tool call {name}]")
    return "\n".join(parts)


def observation(messages: Sequence[Message], thoughts: Sequence[str]) -> list[tuple[str, str]]:
    """(role, text) of the whole conversation; `<reference_thought_N>` blocks follow the last message."""
    transcript = [(str(message["role"]), message_text(message)) for message in messages]
    if thoughts:
        role, text = transcript[-1]
        transcript[-1] = (role, f"{text}\n{thought_blocks(thoughts)}")
    return transcript
