"""A real HTTP server on 127.0.0.1 that speaks the OpenAI chat API and misbehaves on script.

    async with Upstream() as upstream:
        upstream.plan(Script(status=429, headers={"Retry-After": "1"}), Script(text="fine now"))
        ... call upstream.url ...
        assert upstream.requests[0].body["model"] == "m"

Written on plain sockets, so that it can cut, stall and lie at any byte. It notes when a client goes away.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

DEFAULT_USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


@dataclass
class Script:
    """How one request is answered."""

    text: str | None = "Hello there, this is the upstream."
    refusal: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    finish_reason: str | None = "stop"
    usage: dict[str, Any] | None = field(default_factory=lambda: dict(DEFAULT_USAGE))
    pieces: int = 4
    """Content chunks of a stream."""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str | None = None
    body: bytes | None = None
    """Exact body, instead of a completion."""
    events: list[bytes] | None = None
    """Exact bytes of a stream, written one by one, instead of chunks."""
    first_byte_delay_s: float = 0.0
    chunk_delay_s: float = 0.0
    cut_after_chunks: int | None = None
    """Close the socket after so many chunks (0: after the headers); for a plain answer, in the middle of its body."""
    drop: bool = False
    """Close the socket without a byte of an answer."""
    hang: bool = False
    """Read the request and never answer."""
    hang_after_chunks: int | None = None
    release: asyncio.Event | None = None
    """Ends the hanging; None: it never ends."""
    done: bool = True
    """False: no [DONE]."""
    spaces: bool = False
    """JSON with a space after colons and commas."""
    line_end: str = "\n"
    usage_null: bool = False
    """`"usage": null` in every chunk, as OpenAI sends it."""
    completion_id: str = "chatcmpl-upstream-1"
    changing_id: bool = False
    """A new id in every chunk, as some servers do it."""
    model: str = "upstream-model"
    extra: dict[str, Any] = field(default_factory=dict)
    """Further members of the message or of each delta."""


@dataclass
class Recorded:
    """One request that came in."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float
    disconnected_at: float | None = None
    """When the client went away before the answer was complete (time.monotonic)."""
    finished_at: float | None = None


class Upstream:
    """The server. `plan` queues scripts; when the queue is empty, `default` answers; `respond` decides from the body first."""

    def __init__(
        self, default: Script | None = None, *, respond: Callable[[dict[str, Any]], Script | None] | None = None
    ) -> None:
        self.default = default or Script()
        self.respond = respond
        self.requests: list[Recorded] = []
        self.connections = 0
        self._plan: deque[Script] = deque()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    def plan(self, *scripts: Script) -> None:
        """Answer the next requests by these."""
        self._plan.extend(scripts)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while (request := await _read_request(reader)) is not None and await self._answer(request, reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, request: Recorded, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request while watching whether its client goes away. Returns whether the connection stays open."""
        self.requests.append(request)
        script = (self.respond(request.body) if self.respond else None) or (
            self._plan.popleft() if self._plan else self.default
        )
        answering = asyncio.ensure_future(_Answer(script, request.body, writer).run())
        watching = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({answering, watching}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done() or isinstance(answering.exception(), ConnectionError):
                request.disconnected_at = time.monotonic()
                return False
            request.finished_at = time.monotonic()
            return answering.result()
        finally:
            for job in (answering, watching):
                job.cancel()
            await asyncio.gather(answering, watching, return_exceptions=True)


class _Answer:
    def __init__(self, script: Script, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        self.script = script
        self.body = body
        self.writer = writer

    async def run(self) -> bool:
        script = self.script
        if script.hang:
            await self._hang()
        if script.first_byte_delay_s:
            await asyncio.sleep(script.first_byte_delay_s)
        if script.drop:
            return False
        if script.events is not None or (self.body.get("stream") and script.status == 200 and script.body is None):
            return await self._stream()
        return await self._plain()

    async def _hang(self) -> None:
        await (self.script.release or asyncio.Event()).wait()

    def _dumps(self, document: object) -> bytes:
        return json.dumps(document, separators=(", ", ": ") if self.script.spaces else (",", ":")).encode()

    async def _plain(self) -> bool:
        script = self.script
        payload = script.body if script.body is not None else self._dumps(self._completion())
        kind = script.content_type or "application/json"
        self._head(kind, {"Content-Length": str(len(payload))})
        cut = script.cut_after_chunks is not None
        self.writer.write(payload[: len(payload) // 2] if cut else payload)
        await self.writer.drain()
        return not cut

    def _head(self, kind: str, headers: dict[str, str]) -> None:
        lines = [f"HTTP/1.1 {self.script.status} X", f"Content-Type: {kind}"]
        lines += [f"{name}: {value}" for name, value in (headers | self.script.headers).items()]
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def _stream(self) -> bool:
        script = self.script
        self._head(script.content_type or "text/event-stream", {"Transfer-Encoding": "chunked"})
        await self.writer.drain()
        events = script.events if script.events is not None else self._events()
        for number, event in enumerate(events):
            if script.cut_after_chunks == number:
                return False
            if script.hang_after_chunks == number:
                await self._hang()
            self.writer.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
            await self.writer.drain()
            if script.chunk_delay_s:
                await asyncio.sleep(script.chunk_delay_s)
        if script.cut_after_chunks is not None and script.cut_after_chunks >= len(events):
            return False
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()
        return True

    def _message(self) -> dict[str, Any]:
        script = self.script
        message: dict[str, Any] = {"role": "assistant", "content": None if script.refusal else script.text}
        if script.refusal:
            message["refusal"] = script.refusal
        if script.tool_calls:
            message["tool_calls"] = script.tool_calls
        return message | script.extra

    def _completion(self) -> dict[str, Any]:
        script = self.script
        choice = {"index": 0, "message": self._message(), "finish_reason": script.finish_reason}
        head = {"id": script.completion_id, "object": "chat.completion", "created": 1700000000, "model": script.model}
        completion = head | {"choices": [choice]}
        return completion | ({"usage": script.usage} if script.usage else {})

    def _events(self) -> list[bytes]:
        script, end = self.script, self.script.line_end
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        if script.refusal:
            deltas.append({"refusal": script.refusal})
        elif script.text:
            deltas += [{"content": piece} for piece in split_text(script.text, script.pieces)]
        if script.tool_calls:
            deltas.append({"tool_calls": [{"index": number} | call for number, call in enumerate(script.tool_calls)]})
        chunks = [self._chunk(delta | script.extra, None, number) for number, delta in enumerate(deltas)]
        if script.finish_reason:
            chunks.append(self._chunk({}, script.finish_reason, len(chunks)))
        wants_usage = (self.body.get("stream_options") or {}).get("include_usage")
        if script.usage and wants_usage:
            chunks.append(self._chunk(None, None, len(chunks)) | {"usage": script.usage})
        events = [b"data: " + self._dumps(chunk) + (end * 2).encode() for chunk in chunks]
        return [*events, f"data: [DONE]{end * 2}".encode()] if script.done else events

    def _chunk(self, delta: dict[str, Any] | None, finish: str | None, number: int) -> dict[str, Any]:
        script = self.script
        identity = f"{script.completion_id}-{number}" if script.changing_id else script.completion_id
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
        head = {"id": identity, "object": "chat.completion.chunk", "created": 1700000000 + number, "model": script.model}
        return head | {"choices": choices} | ({"usage": None} if script.usage_null else {})


def split_text(text: str, pieces: int) -> list[str]:
    """`text` in about `pieces` parts, none empty."""
    size = max(1, -(-len(text) // pieces))
    return [text[start : start + size] for start in range(0, len(text), size)]


async def _read_request(reader: asyncio.StreamReader) -> Recorded | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    raw = await reader.readexactly(int(headers.get("content-length", "0")))
    return Recorded(lines[0].split(" ")[1], headers, json.loads(raw) if raw else {}, time.monotonic())
