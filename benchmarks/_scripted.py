"""Workers and a planner whose latency is written in what they are asked.

    python benchmarks/_scripted.py --planner-ms 150

Prints its port. A prompt that holds `PLAN` and a plan is answered by that plan; any other by a sentence, after the seconds that
its last message names (`wait 0.25`).
"""

from __future__ import annotations

import argparse
import asyncio
import re

import uvloop
from aiohttp import web

_WAIT = re.compile(r"wait ([0-9.]+)")
_PLAN = re.compile(r"(?s)PLAN\n(model_id: .*?\nsubtasks: .*?\naccess_list: [^\n]*)")


def handler(planner_s: float) -> web.Handler:
    async def answer(request: web.Request) -> web.Response:
        body = await request.json()
        asked = body["messages"][-1]["content"]
        plan = _PLAN.search(asked)
        await asyncio.sleep(planner_s if plan else float(_WAIT.search(asked).group(1)))
        message = {"role": "assistant", "content": plan.group(1) if plan else "What was asked for, in one sentence."}
        completion = {
            "id": "chatcmpl-scripted",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 40, "completion_tokens": 10, "total_tokens": 50},
        }
        return web.json_response(completion)

    return answer


async def main() -> None:
    parser = argparse.ArgumentParser(description="Workers and a planner with scripted latencies.")
    parser.add_argument("--planner-ms", type=float, default=150.0)
    options = parser.parse_args()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", handler(options.planner_ms / 1000))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    print(site._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as asyncio_runner:
        asyncio_runner.run(main())
