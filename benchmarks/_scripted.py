"""Workers and a planner whose latency is written in what they are asked.

    python benchmarks/_scripted.py --planner-ms 150

Prints its port. The model `planner` answers with the plan that stands behind `PLAN` in its prompt; any other model with a
sentence, after the seconds that end its last message (`wait 0.25`). Built on a bare asyncio protocol, so that what a benchmark
measures is not this.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from typing import cast

import httptools
import orjson
import uvloop

_WAIT = re.compile(r"wait ([0-9.]+)$")
_PLAN = re.compile(r"(?s)PLAN\n(model_id: .*?\nsubtasks: .*?\naccess_list: [^\n]*)")
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


class Worker(asyncio.Protocol):
    """One connection: answers each request when its time has come."""

    def __init__(self, planner_s: float) -> None:
        self._planner_s = planner_s
        self._parser = httptools.HttpRequestParser(self)
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio.Transport.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._body = []

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        request = orjson.loads(b"".join(self._body))
        asked, model = request["messages"][-1]["content"], request["model"]
        found = (_PLAN if model == "planner" else _WAIT).search(asked)
        if found is None:
            raise SystemExit(f"{model} was asked something else: {asked[-200:]}")
        seconds = self._planner_s if model == "planner" else float(found.group(1))
        text = found.group(1) if model == "planner" else "What was asked for, in one sentence."
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        completion = {
            "id": "chatcmpl-scripted",
            "object": "chat.completion",
            "created": 1,
            "model": model,
            "choices": [choice],
            "usage": {"prompt_tokens": 40, "completion_tokens": 10, "total_tokens": 50},
        }
        body = orjson.dumps(completion)
        asyncio.get_running_loop().call_later(seconds, self._write, _HEAD % len(body) + body)

    def _write(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


async def main() -> None:
    parser = argparse.ArgumentParser(description="Workers and a planner with scripted latencies.")
    parser.add_argument("--planner-ms", type=float, default=150.0)
    options = parser.parse_args()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Worker(options.planner_ms / 1000), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
