"""Tool calls of a conversation, shared by its workflows (inter-workflow memory; ALGORITHMS.md section 3, execute).

Only conversations with an explicit id have a memory, and it belongs to a tenant. Its size is bounded twice: so many calls are
kept, and each one is shortened. Workers and planners see it as text; a workflow sees what was there when it began.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import orjson

from kubefugu_coordination.workflow.transcript import shorten
from kubefugu_core.stores.state import StateStore, state_key


@dataclass(frozen=True, slots=True)
class MemoryBounds:
    """How much is kept, for how long."""

    max_calls: int = 64
    """Calls kept for each conversation; the oldest go first."""
    max_arguments_chars: int = 1_000
    max_result_chars: int = 4_000
    shown_chars: int = 8_000
    """Characters of the text that workers see."""
    ttl_s: float = 7 * 24 * 3600.0
    """A conversation without a tool call for so long is forgotten."""


@dataclass(frozen=True, slots=True)
class ToolCallRecord:
    """One call that a client answered."""

    call_id: str
    """Id under which the client saw it."""
    name: str
    arguments: str
    result: str


class ToolCallMemory:
    """Reads and writes the memory of conversations."""

    def __init__(self, store: StateStore, bounds: MemoryBounds = MemoryBounds()) -> None:
        self._store = store
        self._bounds = bounds

    async def remember(self, tenant: str, conversation: str, calls: Sequence[ToolCallRecord]) -> None:
        """Add calls, shortened. Raises UnavailableError."""
        bounds = self._bounds
        entries = [
            orjson.dumps(
                [
                    call.call_id,
                    call.name,
                    shorten(call.arguments, bounds.max_arguments_chars),
                    shorten(call.result, bounds.max_result_chars),
                ]
            )
            for call in calls
        ]
        if entries:
            key = state_key("tools", tenant, conversation)
            await self._store.append(key, entries, keep=bounds.max_calls, ttl_s=bounds.ttl_s)

    async def recall(self, tenant: str, conversation: str) -> list[ToolCallRecord]:
        """What is known, oldest first. Raises UnavailableError."""
        entries = await self._store.read(state_key("tools", tenant, conversation))
        return [ToolCallRecord(*orjson.loads(entry)) for entry in entries]

    def text(self, records: Sequence[ToolCallRecord], *, known_ids: Collection[str] = ()) -> str:
        """What workers are told: calls that the conversation doesn't hold itself, the latest that fit. "" for none."""
        lines: list[str] = []
        left = self._bounds.shown_chars
        for record in reversed([record for record in records if record.call_id not in known_ids]):
            line = f"- {record.name}({record.arguments}) gave: {record.result}"
            left -= len(line)
            if left < 0:
                break
            lines.append(line)
        return "\n".join(["Tool calls made earlier in this conversation:", *reversed(lines)]) if lines else ""
