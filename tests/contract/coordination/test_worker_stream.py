"""Streamed answers against a real server that misbehaves on script."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from support.pools import QUESTION, pool_of, within, worker
from support.upstream import Script, Upstream
from support.waiting import until

from kubefugu_coordination.workers import RetryPolicy, WorkerClient, WorkerSet, WorkerStream, parse_chunk
from kubefugu_coordination.workers.sse import events
from kubefugu_core.errors import (
    DeadlineExceededError,
    KubefuguError,
    RateLimitedError,
    WorkerError,
    WorkerMisconfiguredError,
    WorkerProtocolError,
    WorkerRejectedRequestError,
    WorkerStreamCutError,
    WorkerUnreachableError,
)


def client(sets: list[WorkerSet], url: str, *, attempts: int = 1, **members: Any) -> WorkerClient:
    workers = WorkerSet(pool_of(worker("a", url, **members)), retry=RetryPolicy(attempts=attempts))
    sets.append(workers)
    return workers.client("a")


async def text(stream: WorkerStream) -> str:
    parts = []
    async for block in stream:
        for event in events(block):
            for choice in parse_chunk(event, worker="a").get("choices", ()):
                parts.append(choice["delta"].get("content") or "")
    return "".join(parts)


async def run(worker_client: WorkerClient, *, deadline_s: float = 30) -> tuple[str, WorkerStream]:
    async with worker_client.stream(QUESTION, deadline=within(deadline_s)) as stream:
        return await text(stream), stream


VARIANTS = [
    Script(),
    Script(spaces=True),
    Script(line_end="\r\n"),
    Script(line_end="\r"),
    Script(usage_null=True),
    Script(changing_id=True),
    Script(chunk_delay_s=0.01),
    Script(pieces=34),
    Script(done=False),
]


@pytest.mark.parametrize("script", VARIANTS)
async def test_every_dialect_of_a_stream_is_read(upstream: Upstream, sets: list[WorkerSet], script: Script) -> None:
    upstream.plan(script)
    answer, stream = await run(client(sets, upstream.url))
    assert answer == "Hello there, this is the upstream."
    assert (stream.usage.prompt_tokens, stream.usage.completion_tokens, stream.usage.estimated) == (11, 7, False)


async def test_usage_is_always_requested(upstream: Upstream, sets: list[WorkerSet]) -> None:
    await run(client(sets, upstream.url))
    assert upstream.requests[0].body["stream"] is True
    assert upstream.requests[0].body["stream_options"] == {"include_usage": True}


async def test_missing_usage_is_estimated_and_marked(upstream: Upstream, sets: list[WorkerSet]) -> None:
    upstream.plan(Script(usage=None, text="word " * 100))
    _, stream = await run(client(sets, upstream.url))
    assert stream.usage.estimated
    assert 50 <= stream.usage.completion_tokens <= 400


async def test_text_that_looks_like_frames_is_only_text(upstream: Upstream, sets: list[WorkerSet]) -> None:
    tricky = 'data: [DONE]\n\n"error": {"message": "x"} "usage": {"prompt_tokens": 5} "finish_reason":"stop"'
    upstream.plan(Script(text=tricky))
    answer, stream = await run(client(sets, upstream.url))
    assert answer == tricky
    assert stream.usage.prompt_tokens == 11


async def test_an_event_split_at_any_byte_is_whole_again(upstream: Upstream, sets: list[WorkerSet]) -> None:
    whole = b"".join(
        b"data: "
        + orjson.dumps({"id": "i", "model": "m", "choices": [{"index": 0, "delta": {"content": part}, "finish_reason": end}]})
        + b"\r\n\r\n"
        for part, end in (("héllo ", None), ("wörld", "stop"))
    )
    whole += b"data: [DONE]\r\n\r\n"
    upstream.plan(Script(events=[bytes([byte]) for byte in whole]))
    answer, _ = await run(client(sets, upstream.url))
    assert answer == "héllo wörld"


async def test_the_space_after_the_colon_is_optional(upstream: Upstream, sets: list[WorkerSet]) -> None:
    chunk = b'data:{"id":"i","model":"m","choices":[{"index":0,"delta":{"content":"tight"},"finish_reason":null}]}\n\n'
    upstream.plan(Script(events=[b": ping\n\n", chunk, b"data:[DONE]\n\n"]), Script(events=[chunk, b"data:[DONE]"]))
    for _ in range(2):
        assert (await run(client(sets, upstream.url)))[0] == "tight"


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (Script(status=429, headers={"Retry-After": "7"}), RateLimitedError),
        (Script(status=500), WorkerError),
        (Script(status=404), WorkerMisconfiguredError),
        (Script(status=400), WorkerRejectedRequestError),
        (Script(drop=True), WorkerUnreachableError),
        (Script(body=b"<html></html>", content_type="text/html"), WorkerProtocolError),
        (Script(content_type="application/json"), WorkerProtocolError),
        (Script(cut_after_chunks=0), WorkerStreamCutError),
        (Script(cut_after_chunks=3), WorkerStreamCutError),
        (Script(done=False, finish_reason=None), WorkerStreamCutError),
        (Script(events=[]), WorkerStreamCutError),
        (Script(events=[b'data: {"error": {"message": "out of memory"}}\n\n']), WorkerError),
        (Script(events=[b'data: {"usage": {"x', b"\n\n"]), WorkerProtocolError),
        (Script(events=[b"data: " + b"x" * (5 * 1024 * 1024)]), WorkerProtocolError),
    ],
)
async def test_every_failure_has_its_class(
    upstream: Upstream, sets: list[WorkerSet], script: Script, error: type[KubefuguError]
) -> None:
    upstream.plan(script)
    broken = client(sets, upstream.url)
    with pytest.raises(KubefuguError) as caught:
        await run(broken)
    assert type(caught.value) is error
    assert caught.value.metadata["worker"] == "a"
    assert caught.value.message.startswith("Worker a")
    assert broken.admission.stats.in_flight == 0


async def test_a_late_first_byte_is_the_workers_fault(upstream: Upstream, sets: list[WorkerSet]) -> None:
    upstream.plan(Script(hang=True))
    times = {"connectSeconds": 1, "firstTokenSeconds": 1}
    with pytest.raises(DeadlineExceededError, match="first byte") as caught:
        await run(client(sets, upstream.url, timeouts=times), deadline_s=30)
    assert caught.value.metadata["limit"] == "worker"
    assert await until(lambda: upstream.requests[0].disconnected_at) < 1


async def test_headers_alone_are_no_first_byte(upstream: Upstream, sets: list[WorkerSet]) -> None:
    upstream.plan(Script(hang_after_chunks=0))
    times = {"connectSeconds": 1, "firstTokenSeconds": 1}
    with pytest.raises(DeadlineExceededError, match="first byte"):
        await run(client(sets, upstream.url, timeouts=times), deadline_s=30)


async def test_a_stream_that_falls_silent_is_ended(upstream: Upstream, sets: list[WorkerSet]) -> None:
    upstream.plan(Script(hang_after_chunks=2))
    with pytest.raises(DeadlineExceededError, match="further data within 1 s"):
        await run(client(sets, upstream.url, timeouts={"idleSeconds": 1}), deadline_s=30)
    assert await until(lambda: upstream.requests[0].disconnected_at) < 1


async def test_a_slow_but_steady_stream_is_not_idle(upstream: Upstream, sets: list[WorkerSet]) -> None:
    upstream.plan(Script(chunk_delay_s=0.4, pieces=6))
    answer, _ = await run(client(sets, upstream.url, timeouts={"idleSeconds": 2}), deadline_s=30)
    assert answer.startswith("Hello")


async def test_the_deadline_ends_a_stream_that_goes_on(upstream: Upstream, sets: list[WorkerSet]) -> None:
    upstream.plan(Script(chunk_delay_s=0.1, pieces=34))
    with pytest.raises(DeadlineExceededError) as caught:
        await run(client(sets, upstream.url), deadline_s=0.5)
    assert caught.value.metadata["limit"] == "caller"


async def test_leaving_early_closes_the_socket_at_once(upstream: Upstream, sets: list[WorkerSet]) -> None:
    upstream.plan(Script(chunk_delay_s=0.2, pieces=34))
    left = client(sets, upstream.url)
    async with left.stream(QUESTION, deadline=within(30)) as stream:
        async for _ in stream:
            break
    assert await until(lambda: upstream.requests[0].disconnected_at) < 1
    assert left.admission.stats.in_flight == 0


async def test_cancellation_closes_the_socket_at_once(upstream: Upstream, sets: list[WorkerSet]) -> None:
    upstream.plan(Script(hang_after_chunks=1))
    cancelled = client(sets, upstream.url)
    call = asyncio.create_task(run(cancelled, deadline_s=30))
    await until(lambda: upstream.requests)
    await asyncio.sleep(0.05)
    call.cancel()
    assert await until(lambda: upstream.requests[0].disconnected_at) < 1
    with pytest.raises(asyncio.CancelledError):
        await call
    assert cancelled.admission.stats.failures == 0
    assert cancelled.admission.stats.in_flight == 0


async def test_a_stream_is_tried_again_only_before_its_first_byte(upstream: Upstream, sets: list[WorkerSet]) -> None:
    retried = client(sets, upstream.url, attempts=2)
    upstream.plan(Script(status=503), Script(text="second try"))
    assert (await run(retried))[0] == "second try"
    upstream.plan(Script(cut_after_chunks=1))
    with pytest.raises(WorkerStreamCutError):
        await run(retried)
    assert len(upstream.requests) == 3
