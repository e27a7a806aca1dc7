"""A conversation as plain text, for a planner that is asked about it rather than in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kubefugu_coordination.workers.reply import text_of

_OMITTED = "\n[... {count} characters left out ...]\n"


def message_text(message: Mapping[str, Any]) -> str:
    """Text of one message; parts that are no text and tool calls are named in square brackets."""
    content = message.get("content")
    parts = [text_of(content)] if not isinstance(content, list) else [_part_text(part) for part in content]
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        parts.append(f"[calls {function.get('name', '')}({function.get('arguments', '')})]")
    return "\n".join(part for part in parts if part)


def _part_text(part: object) -> str:
    if not isinstance(part, Mapping):
        return ""
    text = part.get("text")
    return text if isinstance(text, str) else f"[{part.get('type', 'part')}]"


def task_text(messages: Sequence[Mapping[str, Any]], *, max_chars: int) -> str:
    """The whole conversation; a single user message stands alone, otherwise each one is prefixed by its role.

    A text over `max_chars` characters keeps its head and its (larger) tail and says how much is missing.
    """
    if len(messages) == 1 and messages[0].get("role") == "user":
        return shorten(message_text(messages[0]), max_chars)
    return shorten("\n\n".join(f"{message.get('role')}: {message_text(message)}" for message in messages), max_chars)


def shorten(text: str, max_chars: int) -> str:
    """At most about `max_chars` characters: a third from the head, the rest from the tail."""
    if len(text) <= max_chars:
        return text
    head = max_chars // 3
    tail = max_chars - head
    return text[:head] + _OMITTED.format(count=len(text) - max_chars) + text[len(text) - tail :]


def last_role(messages: Iterable[Mapping[str, Any]]) -> str:
    """Role of the last message; "" for none."""
    role = ""
    for message in messages:
        role = str(message.get("role", ""))
    return role
