"""From executor events to HTTP: a stream of server-sent events, or one JSON document."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import aclosing
from types import TracebackType
from typing import Any

from kubefugu.executor.v1 import executor_pb2
from kubefugu_core.errors import InternalError, KubefuguError, RequestCancelledError
from kubefugu_gateway import sse
from kubefugu_gateway.body import Receive
from kubefugu_gateway.exchange import Exchange
from kubefugu_gateway.executor import Execution
from kubefugu_gateway.progress import typed_event

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_STREAM_HEAD = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    # nginx buffers otherwise.
    (b"x-accel-buffering", b"no"),
]


class Watch:
    """While it is open, a client that goes away ends the execution at once, whatever the relay waits for."""

    def __init__(self, receive: Receive, execution: Execution) -> None:
        self._receive = receive
        self._execution = execution

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.wait((self._task,))

    async def _run(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._execution.cancel(RequestCancelledError("The client went away."))


async def relay_whole(execution: Execution, send: Send, exchange: Exchange) -> None:
    """Answer with the completion. Raises KubefuguError; nothing has been sent then."""
    seen = exchange.observed
    async with aclosing(execution.events()) as events:
        async for event in events:
            seen.take(event)
    if seen.done is None or not seen.done.completion_json:
        raise InternalError("The executor ended the call without a result.")
    body = seen.done.completion_json
    exchange.begin()
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *exchange.headers(final=True)]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def relay_stream(execution: Execution, send: Send, exchange: Exchange, *, typed_progress: bool) -> None:
    """Write events as they come. Raises KubefuguError only while nothing has been sent.

    The head waits for the first bytes of the body, so that it names the worker that answers, and so that whatever fails
    before is an HTTP error. Later failures are an error event, and the stream ends without [DONE].
    """
    try:
        async with aclosing(execution.events()) as events:
            async for event in events:
                payload = _frame(event, exchange, typed_progress=typed_progress)
                if payload:
                    if not exchange.begun:
                        await _begin(send, exchange, final=event.HasField("delta"))
                    await send({"type": "http.response.body", "body": payload, "more_body": True})
        if exchange.observed.done is None or not exchange.begun:
            raise InternalError("The executor ended the stream without a result.")
    except KubefuguError as error:
        if not exchange.begun:
            raise
        exchange.fail(error)
        await send({"type": "http.response.body", "body": sse.error(error), "more_body": False})
        return
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _begin(send: Send, exchange: Exchange, *, final: bool) -> None:
    exchange.begin()
    await send({"type": "http.response.start", "status": 200, "headers": [*_STREAM_HEAD, *exchange.headers(final=final)]})


def _frame(event: executor_pb2.ExecuteResponse, exchange: Exchange, *, typed_progress: bool) -> bytes | None:
    """The bytes for one event, or None where there are none to write. Answers are passed on unread."""
    if event.HasField("delta"):
        delta = event.delta
        return delta.sse or (sse.data(delta.chunk_json) if delta.chunk_json else None)
    exchange.observed.take(event)
    if typed_progress:
        return typed_event(event, request_id=exchange.request_id, created=exchange.created, model=exchange.model)
    return sse.comment(event.progress.message) if event.HasField("progress") else None
