"""When a streamed answer counts as one: the first event with content, before which another worker can still be asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from kubefugu_coordination.workers.sse import events
from kubefugu_coordination.workers.stream import choices_of, parse_chunk

_CONTENT = ("content", "tool_calls", "function_call", "audio", "reasoning_content", "reasoning")


class Opening(Enum):
    """What a stream begins with."""

    ANSWER = auto()
    REFUSAL = auto()
    NOTHING = auto()
    """It ended without any content."""


@dataclass(frozen=True, slots=True)
class Head:
    """The blocks read so far, and what they are."""

    opening: Opening
    block: bytes


def opening_of(event: bytes, *, worker: str) -> Opening:
    """What one event adds. Raises WorkerProtocolError for a malformed one."""
    for choice in choices_of(parse_chunk(event, worker=worker), worker=worker):
        delta: dict[str, Any] = choice.get("delta") or {}
        if any(delta.get(member) for member in _CONTENT):
            return Opening.ANSWER
        if delta.get("refusal"):
            return Opening.REFUSAL
    return Opening.NOTHING


async def read_head(blocks: AsyncIterator[bytes], *, worker: str) -> Head:
    """Read until the stream shows what it is. Everything read is in the head's block, nothing is lost."""
    held = b""
    async for block in blocks:
        held += block
        for event in events(block):
            if (opening := opening_of(event, worker=worker)) is not Opening.NOTHING:
                return Head(opening, held)
    return Head(Opening.NOTHING, held)
