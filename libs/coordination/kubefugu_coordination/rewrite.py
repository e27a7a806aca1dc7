"""A worker's stream as ours: id and model replaced byte for byte, without parsing chunks that are like the first one.

The first chunks are parsed anyway (is this an answer?), and teach the exact bytes of the worker's id and model.
A later block in which each event holds both is rewritten by substitution; any other block is parsed event by event. A string
inside JSON never holds an unescaped quote, so the bytes `"id":"…"` cannot be part of a text.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from kubefugu_coordination.workers.sse import END, events, frame
from kubefugu_coordination.workers.stream import choices_of, parse_chunk

_CREATED = re.compile(rb'"created": ?[0-9]+')
_NULL_USAGE = re.compile(rb', ?"usage": ?null|"usage": ?null, ?')


class ChunkRewriter:
    """Rewrites blocks of one worker's stream. Pure; raises WorkerProtocolError for a malformed chunk."""

    def __init__(self, *, worker: str, request_id: str, model: str, created: int) -> None:
        self._worker = worker
        self._ours: dict[str, Any] = {"id": request_id, "object": "chat.completion.chunk", "created": created, "model": model}
        self._created = b'"created":%d' % created
        self._swaps: tuple[tuple[bytes, bytes], ...] = ()
        self.saw_finish = False
        self.text: list[str] | None = None
        """Set to a list to collect the answer's text (every chunk is then parsed)."""

    def rewrite(self, block: bytes) -> bytes:
        """The block's events with our id and model; comments and usage-only chunks are left out."""
        if self._swaps and self.text is None and (fast := self._substitute(block)) is not None:
            return fast
        return b"".join(self._rewrite_event(event) for event in events(block))

    def _substitute(self, block: bytes) -> bytes | None:
        count = block.count(END)
        # Every event is one data line of one JSON object ...
        if block.count(b"data: {") != count or block.count(b"}\n\n") != count or block.count(b"\n") != 2 * count:
            return None
        if b'"usage"' in block:
            block = _NULL_USAGE.sub(b"", block)
            if b'"usage"' in block:
                return None
        # ... that holds the known id and model exactly once.
        for theirs, ours in self._swaps:
            if block.count(theirs) != count:
                return None
            block = block.replace(theirs, ours)
        if not self.saw_finish and (b'"finish_reason":"' in block or b'"finish_reason": "' in block):
            self.saw_finish = True
        return _CREATED.sub(self._created, block)

    def _rewrite_event(self, event: bytes) -> bytes:
        chunk = parse_chunk(event, worker=self._worker)
        choices = choices_of(chunk, worker=self._worker)
        if not choices:
            return b""
        for choice in choices:
            if choice.get("finish_reason"):
                self.saw_finish = True
            if self.text is not None:
                self.text.append((choice.get("delta") or {}).get("content") or "")
        self._learn(event, chunk)
        chunk.pop("usage", None)
        chunk.update(self._ours)
        return frame(orjson.dumps(chunk))

    def _learn(self, event: bytes, chunk: dict[str, Any]) -> None:
        swaps = []
        for member in ("id", "model"):
            theirs = chunk.get(member)
            if not isinstance(theirs, str):
                self._swaps = ()
                return
            ours = b'"%s":%s' % (member.encode(), orjson.dumps(self._ours[member]))
            for separator in (b":", b": "):
                exact = b'"%s"%s%s' % (member.encode(), separator, orjson.dumps(theirs))
                if event.count(exact) == 1:
                    swaps.append((exact, ours))
                    break
            else:
                self._swaps = ()
                return
        self._swaps = tuple(swaps)
