"""A worker that costs almost nothing: canned chat completions from memory, plain or as a paced stream of chunks.

    python benchmarks/_upstream.py --port 0 --chunks 16 --pace-ms 20

Prints its port. Built on a bare asyncio protocol, so that what a benchmark measures is not this.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import cast

import httptools
import uvloop

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\n%s\r\n\r\n"
_USAGE = {"prompt_tokens": 40, "completion_tokens": 16, "total_tokens": 56}


def _document(model: str) -> bytes:
    message = {"role": "assistant", "content": "The canned answer of a worker that does no work at all. " * 4}
    body = json.dumps(
        {
            "id": "chatcmpl-upstream",
            "object": "chat.completion",
            "created": 1,
            "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
            "usage": _USAGE,
        },
        separators=(",", ":"),
    ).encode()
    return _HEAD % (b"application/json", b"content-length: %d" % len(body)) + body


def _events(model: str, chunks: int) -> list[bytes]:
    def event(choices: list[object], **more: object) -> bytes:
        chunk = {"id": "chatcmpl-upstream", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": choices}
        raw = b"data: " + json.dumps(chunk | more, separators=(",", ":")).encode() + b"\n\n"
        return b"%x\r\n%s\r\n" % (len(raw), raw)

    made = [event([{"index": 0, "delta": {"content": f" word{number}"}, "finish_reason": None}]) for number in range(chunks)]
    end = event([{"index": 0, "delta": {}, "finish_reason": "stop"}]) + event([], usage=_USAGE)
    return [*made, end + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"]


class Worker(asyncio.Protocol):
    """One connection: answers each request when its last byte has come."""

    def __init__(self, plain: bytes, events: list[bytes], pace_s: float) -> None:
        self._plain, self._events, self._pace_s = plain, events, pace_s
        self._parser = httptools.HttpRequestParser(self)
        self._stream = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio.Transport.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._stream = False

    def on_body(self, body: bytes) -> None:
        self._stream = self._stream or b'"stream":true' in body or b'"stream": true' in body

    def on_message_complete(self) -> None:
        if self._stream:
            self._transport.write(_HEAD % (b"text/event-stream", b"transfer-encoding: chunked"))
            self._write_event(0)
        else:
            self._transport.write(self._plain)

    def _write_event(self, number: int) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(self._events[number])
        if number + 1 < len(self._events):
            asyncio.get_running_loop().call_later(self._pace_s, self._write_event, number + 1)


async def main() -> None:
    parser = argparse.ArgumentParser(description="A worker that costs almost nothing.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--chunks", type=int, default=16)
    parser.add_argument("--pace-ms", type=float, default=20.0)
    parser.add_argument("--model", default="canned")
    options = parser.parse_args()
    plain, events = _document(options.model), _events(options.model, options.chunks)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Worker(plain, events, options.pace_ms / 1000), "127.0.0.1", options.port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
