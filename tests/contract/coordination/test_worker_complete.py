"""Answers that are not streamed, against a real server that misbehaves on script."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.pools import QUESTION, pool_of, within, worker
from support.ports import free_port
from support.upstream import Script, Upstream
from support.waiting import until

from kubefugu_coordination.workers import MemoryReplyCache, RetryPolicy, WorkerClient, WorkerSet
from kubefugu_core.errors import (
    DeadlineExceededError,
    KubefuguError,
    OverloadedError,
    RateLimitedError,
    WorkerError,
    WorkerMisconfiguredError,
    WorkerProtocolError,
    WorkerRejectedRequestError,
    WorkerStreamCutError,
    WorkerUnreachableError,
)

ONCE = RetryPolicy(attempts=1)


def client(sets: list[WorkerSet], url: str, *, retry: RetryPolicy = ONCE, cache: Any = None, **members: Any) -> WorkerClient:
    workers = WorkerSet(pool_of(worker("a", url, **members)), retry=retry, cache=cache)
    sets.append(workers)
    return workers.client("a")


async def test_an_answer_is_read_whole(upstream: Upstream, sets: list[WorkerSet]) -> None:
    prices = {"inputPerMillionTokens": "1000000", "outputPerMillionTokens": "2000000"}
    reply = await client(sets, upstream.url, prices=prices).complete(QUESTION, deadline=within(30))
    assert reply.text == "Hello there, this is the upstream."
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.estimated) == (11, 7, False)
    assert reply.cost_usd == 11 + 14
    assert reply.finish_reason == "stop"


async def test_the_body_names_the_workers_model_and_nothing_of_ours(upstream: Upstream, sets: list[WorkerSet]) -> None:
    request = QUESTION | {"model": "fugu", "kubefugu": {"explain": True}, "stream": True, "temperature": 0.5}
    await client(sets, upstream.url).complete(request, deadline=within(30))
    assert upstream.requests[0].body == QUESTION | {"model": "a-model", "temperature": 0.5}
    assert upstream.requests[0].path == "/v1/chat/completions"


async def test_usage_is_estimated_and_marked_where_the_worker_reports_none(upstream: Upstream, sets: list[WorkerSet]) -> None:
    upstream.plan(Script(usage=None))
    reply = await client(sets, upstream.url).complete(QUESTION, deadline=within(30))
    assert reply.usage.estimated
    assert reply.usage.prompt_tokens > 0
    assert reply.usage.completion_tokens > 0


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (Script(status=429), RateLimitedError),
        (Script(status=500, body=b'{"error": {"message": "boom"}}'), WorkerError),
        (Script(status=503, body=b"<html>bad gateway</html>", content_type="text/html"), WorkerError),
        (Script(status=400, body=b'{"error": {"message": "temperature is wrong"}}'), WorkerRejectedRequestError),
        (Script(status=422, body=b'{"detail": "no"}'), WorkerRejectedRequestError),
        (Script(status=401), WorkerMisconfiguredError),
        (Script(status=404), WorkerMisconfiguredError),
        (Script(status=302, headers={"Location": "http://127.0.0.1:1/"}), WorkerMisconfiguredError),
        (Script(body=b"{not json"), WorkerProtocolError),
        (Script(body=b"[1, 2]"), WorkerProtocolError),
        (Script(body=b'{"choices": []}'), WorkerProtocolError),
        (Script(body=b'{"choices": [{"text": "old api"}]}'), WorkerProtocolError),
        (Script(body=b'{"choices": ["x"]}'), WorkerProtocolError),
        (Script(body=b""), WorkerProtocolError),
        (Script(body=b'{"error": {"message": "overloaded"}}'), WorkerError),
        (Script(body=b"<html><body>hello</body></html>", content_type="text/html"), WorkerProtocolError),
        (Script(content_type="text/plain"), WorkerProtocolError),
        (Script(cut_after_chunks=0), WorkerStreamCutError),
        (Script(drop=True), WorkerUnreachableError),
    ],
)
async def test_every_failure_has_its_class(
    upstream: Upstream, sets: list[WorkerSet], script: Script, error: type[KubefuguError]
) -> None:
    upstream.plan(script)
    with pytest.raises(KubefuguError) as caught:
        await client(sets, upstream.url).complete(QUESTION, deadline=within(30))
    assert type(caught.value) is error
    assert caught.value.metadata["worker"] == "a"
    assert caught.value.message.startswith("Worker a")
    assert len(upstream.requests) == 1


async def test_what_the_worker_said_is_in_the_message(upstream: Upstream, sets: list[WorkerSet]) -> None:
    upstream.plan(Script(status=400, body=b'{"error": {"message": "max_tokens is too large"}}'))
    with pytest.raises(WorkerRejectedRequestError, match="max_tokens is too large"):
        await client(sets, upstream.url).complete(QUESTION, deadline=within(30))


async def test_a_body_without_end_is_cut_off(
    upstream: Upstream, sets: list[WorkerSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubefugu_coordination.workers.transport.MAX_BODY_BYTES", 1000)
    upstream.plan(Script(body=b'{"pad": "' + b"x" * 5000 + b'"}'))
    with pytest.raises(WorkerProtocolError, match="longer than 1000 bytes"):
        await client(sets, upstream.url).complete(QUESTION, deadline=within(30))


async def test_nothing_listens(sets: list[WorkerSet]) -> None:
    with pytest.raises(WorkerUnreachableError, match="Worker a: no connection: .*refused"):
        await client(sets, f"http://127.0.0.1:{free_port()}/v1").complete(QUESTION, deadline=within(30))


async def test_the_callers_deadline_ends_a_hanging_call(upstream: Upstream, sets: list[WorkerSet]) -> None:
    upstream.plan(Script(hang=True))
    with pytest.raises(DeadlineExceededError) as caught:
        await client(sets, upstream.url).complete(QUESTION, deadline=within(1))
    assert caught.value.metadata["limit"] == "caller"
    assert await until(lambda: upstream.requests[0].disconnected_at) < 1


async def test_the_workers_total_time_ends_a_hanging_call(upstream: Upstream, sets: list[WorkerSet]) -> None:
    upstream.plan(Script(hang=True))
    with pytest.raises(DeadlineExceededError) as caught:
        await client(sets, upstream.url, timeouts={"totalSeconds": 1}).complete(QUESTION, deadline=within(20))
    assert caught.value.metadata["limit"] == "worker"


async def test_cancellation_closes_the_socket_at_once(upstream: Upstream, sets: list[WorkerSet]) -> None:
    upstream.plan(Script(hang=True))
    call = asyncio.create_task(client(sets, upstream.url).complete(QUESTION, deadline=within(30)))
    await until(lambda: upstream.requests)
    call.cancel()
    assert await until(lambda: upstream.requests[0].disconnected_at) < 1
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_429_is_tried_again_after_what_it_asks_for(upstream: Upstream, sets: list[WorkerSet]) -> None:
    upstream.plan(Script(status=429, headers={"Retry-After": "0.3"}), Script(text="now"))
    reply = await client(sets, upstream.url, retry=RetryPolicy()).complete(QUESTION, deadline=within(30))
    assert reply.text == "now"
    assert upstream.requests[1].at - upstream.requests[0].at >= 0.3


async def test_a_429_that_asks_for_too_long_is_given_up_and_honoured(upstream: Upstream, sets: list[WorkerSet]) -> None:
    upstream.plan(Script(status=429, headers={"Retry-After": "60"}))
    limited = client(sets, upstream.url, retry=RetryPolicy())
    with pytest.raises(RateLimitedError) as caught:
        await limited.complete(QUESTION, deadline=within(30))
    assert caught.value.retry_after_s == 60
    with pytest.raises(RateLimitedError) as again:
        await limited.complete(QUESTION, deadline=within(30))
    assert again.value.retry_after_s == pytest.approx(60, abs=2)
    assert len(upstream.requests) == 1, "the worker asked to be left alone and was called again"


@pytest.mark.parametrize("script", [Script(status=503), Script(drop=True), Script(status=500)])
async def test_a_passing_failure_before_any_byte_is_tried_again(
    upstream: Upstream, sets: list[WorkerSet], script: Script
) -> None:
    upstream.plan(script)
    reply = await client(sets, upstream.url, retry=RetryPolicy()).complete(QUESTION, deadline=within(30))
    assert reply.text.startswith("Hello")
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("script", [Script(status=400), Script(status=401), Script(body=b"{"), Script(cut_after_chunks=0)])
async def test_a_lasting_failure_is_not_tried_again(upstream: Upstream, sets: list[WorkerSet], script: Script) -> None:
    upstream.plan(script)
    with pytest.raises(WorkerError):
        await client(sets, upstream.url, retry=RetryPolicy()).complete(QUESTION, deadline=within(30))
    assert len(upstream.requests) == 1


async def test_calls_beyond_the_concurrency_limit_wait(upstream: Upstream, sets: list[WorkerSet]) -> None:
    running = peak = 0
    limited = client(sets, upstream.url, limits={"maxConcurrency": 2})
    upstream.default = Script(first_byte_delay_s=0.05)

    def counted(body: dict[str, Any]) -> Script | None:
        nonlocal running, peak
        running = sum(1 for request in upstream.requests if request.finished_at is None)
        peak = max(peak, running)
        return None

    upstream.respond = counted
    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(limited.complete(QUESTION, deadline=within(30)))
    assert len(upstream.requests) == 8
    assert peak == 2


async def test_waiting_for_a_slot_ends_with_the_deadline(upstream: Upstream, sets: list[WorkerSet]) -> None:
    upstream.default = Script(hang=True)
    limited = client(sets, upstream.url, limits={"maxConcurrency": 1})
    first = asyncio.create_task(limited.complete(QUESTION, deadline=within(30)))
    await until(lambda: upstream.requests)
    with pytest.raises(OverloadedError):
        await limited.complete(QUESTION, deadline=within(0.1))
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert limited.admission.stats.in_flight == 0


async def test_the_circuit_opens_after_five_failures_and_says_so(upstream: Upstream, sets: list[WorkerSet]) -> None:
    upstream.default = Script(status=500)
    broken = client(sets, upstream.url)
    with capture_logs() as logs:
        for _ in range(5):
            with pytest.raises(WorkerError):
                await broken.complete(QUESTION, deadline=within(30))
    assert [(line["event"], line["worker"], line["reason"]) for line in logs] == [
        ("worker_circuit_opened", "a", "WORKER_ERROR")
    ]
    with pytest.raises(WorkerUnreachableError, match="rests"), capture_logs() as logs:
        await broken.complete(QUESTION, deadline=within(30))
    assert logs == [], "the opening is told once, not every call that it stops"
    assert len(upstream.requests) == 5
    assert broken.admission.breaker.state == "open"
    assert broken.admission.stats.failures == 5


async def test_requests_at_fault_do_not_open_the_circuit(upstream: Upstream, sets: list[WorkerSet]) -> None:
    upstream.default = Script(status=400)
    healthy = client(sets, upstream.url)
    for _ in range(8):
        with pytest.raises(WorkerRejectedRequestError):
            await healthy.complete(QUESTION, deadline=within(30))
    assert healthy.admission.breaker.state == "closed"


async def test_connections_are_used_again(upstream: Upstream, sets: list[WorkerSet]) -> None:
    reused = client(sets, upstream.url)
    for _ in range(4):
        await reused.complete(QUESTION, deadline=within(30))
        async with reused.stream(QUESTION, deadline=within(30)) as stream:
            assert [block async for block in stream]
    assert upstream.connections <= 2


async def test_the_reply_cache_is_keyed_by_the_full_request(upstream: Upstream, sets: list[WorkerSet]) -> None:
    cached = client(sets, upstream.url, cache=MemoryReplyCache())
    long = "x" * 100_000
    first = {"messages": [{"role": "user", "content": long + "1"}]}
    second = {"messages": [{"role": "user", "content": long + "2"}]}
    replies = [await cached.complete(request, deadline=within(30)) for request in (first, first, second)]
    assert [reply.cached for reply in replies] == [False, True, False]
    assert replies[1].text == replies[0].text
    assert len(upstream.requests) == 2
    await cached.complete(second | {"seed": 1}, deadline=within(30))
    assert len(upstream.requests) == 3
