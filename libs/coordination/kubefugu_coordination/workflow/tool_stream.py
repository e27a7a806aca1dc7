"""Tool calls in a stream that is passed through: their ids become ours, and the message that they make is put together.

Works on blocks that are already rewritten (our id and model). Only used where the worker was offered tools.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import orjson

from kubefugu_coordination.workers.sse import data_of, events, frame


def unique_id(own_id: object, taken: Collection[str]) -> str:
    """A worker's call id; one of our making where it gave none, or the same one twice."""
    chosen = str(own_id or f"call_{len(taken)}")
    return chosen if chosen not in taken else f"{chosen}_{len(taken)}"


class ToolCallStream:
    """Feed it every block of the answer; `message` is what the assistant said, with the worker's own call ids."""

    def __init__(self, rename: Callable[[str], str]) -> None:
        self._rename = rename
        self._text: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}

    def feed(self, block: bytes) -> bytes:
        """The block with our call ids."""
        return b"".join(self._event(event) for event in events(block))

    def _event(self, event: bytes) -> bytes:
        data = data_of(event)
        if not data.startswith(b"{"):
            return event + b"\n\n"
        chunk = orjson.loads(data)
        called = False
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            if delta.get("content"):
                self._text.append(delta["content"])
            for call in delta.get("tool_calls") or ():
                self._collect(call)
                called = True
        return frame(orjson.dumps(chunk)) if called else event + b"\n\n"

    def _collect(self, call: dict[str, Any]) -> None:
        index = call.get("index", 0)
        known = self._calls.get(index)
        function = call.get("function") or {}
        if known is None:
            own_id = unique_id(call.get("id"), [other["id"] for other in self._calls.values()])
            known = {"id": own_id, "type": "function", "function": {"name": "", "arguments": ""}}
            self._calls[index] = known
            call["id"] = self._rename(known["id"])
        elif "id" in call:
            # Some servers repeat the id in every piece; the client must see one id only.
            call.pop("id")
        known["function"]["name"] += function.get("name") or ""
        known["function"]["arguments"] += function.get("arguments") or ""

    @property
    def message(self) -> dict[str, Any] | None:
        """The assistant's message; None where it called no tool."""
        if not self._calls:
            return None
        calls = [self._calls[index] for index in sorted(self._calls)]
        return {"role": "assistant", "content": "".join(self._text) or None, "tool_calls": calls}
