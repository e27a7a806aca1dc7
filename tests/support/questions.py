"""Files of questions, and two workers behind real HTTP in a thread of their own: what a planner is trained on."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.upstream import Script, Upstream

ANSWERS = {"alpha-model": "A is 1.", "beta-model": "B is 2."}
"""What the two workers say, whatever they are asked."""


def write_questions(path: Path, *, count: int) -> Path:
    """Questions that alpha alone answers."""
    rows = [{"prompt": f"Find A{number}. Find B{number}.", "answer": "A is 1.", "kind": "contains"} for number in range(count)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@contextmanager
def two_workers() -> Iterator[Upstream]:
    """The upstream of alpha and beta, on an event loop of its own: trainers block the test's."""
    loop, upstream = asyncio.new_event_loop(), Upstream()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    upstream.respond = lambda body: Script(text=ANSWERS[body["model"]])
    asyncio.run_coroutine_threadsafe(upstream.__aenter__(), loop).result()
    try:
        yield upstream
    finally:
        asyncio.run_coroutine_threadsafe(upstream.__aexit__(None, None, None), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
