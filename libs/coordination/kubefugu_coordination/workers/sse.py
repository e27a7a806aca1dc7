"""Server-sent events as bytes: cut a stream into blocks of complete events without looking into them.

https://html.spec.whatwg.org/multipage/server-sent-events.html. Line ends are normalised to LF; JSON holds no raw CR.
"""

from __future__ import annotations

from collections.abc import Iterator

from kubefugu_core.errors import WorkerProtocolError

END = b"\n\n"
DONE = b"[DONE]"
"""Data of the last event."""
MAX_EVENT_BYTES = 4 * 1024 * 1024
"""Longest single event that is buffered; a longer one is not the chat protocol."""


class SseSplitter:
    """Collects bytes and gives back whole events, as many as are complete, in one block."""

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._pending = b""
        self._held_cr = False
        self._max = max_event_bytes

    def feed(self, data: bytes) -> bytes:
        """Add bytes; return every event that is now complete (each ends in an empty line), or b"".

        Raises WorkerProtocolError when one event grows past the limit.
        """
        if self._held_cr or b"\r" in data:
            data = self._normalise(data)
        if self._pending:
            data = self._pending + data
        cut = data.rfind(END) + 2
        if cut == 1:
            block, self._pending = b"", data
        else:
            block, self._pending = data[:cut], data[cut:]
        if len(self._pending) > self._max:
            raise WorkerProtocolError(f"an event of the stream is longer than {self._max} bytes")
        return block

    def _normalise(self, data: bytes) -> bytes:
        if self._held_cr:
            data = b"\r" + data
        self._held_cr = data.endswith(b"\r")
        if self._held_cr:
            data = data[:-1]
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    @property
    def pending(self) -> bytes:
        """What came after the last complete event."""
        return self._pending


def events(block: bytes) -> Iterator[bytes]:
    """The events of a block, without their empty line."""
    for event in block.split(END):
        if event := event.strip(b"\n"):
            yield event


def data_of(event: bytes) -> bytes:
    """The data of one event; b"" for a comment or an event without data."""
    if event.startswith(b"data:") and b"\n" not in event:
        return event[5:].lstrip(b" ")
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines)


def frame(payload: bytes) -> bytes:
    """One event with this data."""
    return b"data: " + payload + END
