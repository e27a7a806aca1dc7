"""A client that goes away takes the worker's connection with it within a second, wherever the request stands."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from support.executors import Stand, execute_request, executor_stand, request_id
from support.upstream import Script
from support.waiting import until

from kubefugu.executor.v1 import executor_pb2 as pb


async def cancelled_when(s: Stand, request: pb.ExecuteRequest, *, after_deltas: int) -> None:
    """Start a call, cancel it after so many deltas (0: once the worker was asked), and wait for the worker's side."""
    call = s.stub.Execute(request, timeout=60)
    if after_deltas:
        seen = 0
        async for response in call:
            seen += response.HasField("delta")
            if seen == after_deltas:
                break
    else:
        await until(lambda: s.upstream.requests)
    call.cancel()
    assert await until(lambda: s.upstream.requests[-1].disconnected_at) < 1


CASES = [
    ("waiting for the first byte", {"stream": True}, Script(hang=True), 0),
    ("waiting for a whole answer", {"stream": False}, Script(hang=True), 0),
    ("in the middle of a stream", {"stream": True}, Script(chunk_delay_s=0.05, pieces=34), 2),
    ("while the stream is silent", {"stream": True}, Script(hang_after_chunks=3), 1),
    ("in a loop of several turns", {"stream": True, "reasoning_effort": "high"}, Script(hang=True), 0),
    ("a worker by its own name", {"stream": True, "model": "a"}, Script(hang_after_chunks=3), 1),
]


@pytest.mark.parametrize(("members", "script", "after"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
async def test_the_workers_socket_is_closed_and_the_record_says_cancelled(
    tmp_path: Path, members: dict[str, Any], script: Script, after: int
) -> None:
    async with executor_stand(tmp_path, "a") as s:
        s.upstream.default = script
        identity = request_id()
        await cancelled_when(s, execute_request(identity=identity, **members), after_deltas=after)
        admission = s.app.workers.client("a").admission
        assert await until(lambda: admission.stats.in_flight == 0) < 1
        assert admission.stats.failures == 0, "the client's leaving is not the worker's failure"
        record = await s.decision(identity)
        assert (record["status"], record["error"]["reason"]) == ("cancelled", "CANCELLED")
        assert record["turns"][-1]["attempts"][-1]["outcome"] == "cancelled"


async def test_a_client_that_does_not_read_and_then_goes_away(tmp_path: Path) -> None:
    """The handler hangs in a write then, not in a read from the worker."""
    async with executor_stand(tmp_path, "a") as s:
        piece = b'data: {"id":"i","model":"m","choices":[{"delta":{"content":"' + b"x" * 60_000 + b'"}}]}\n\n'
        s.upstream.default = Script(events=[piece] * 2000)
        identity = request_id()
        call = s.stub.Execute(execute_request(identity=identity, stream=True), timeout=60)
        await until(lambda: s.upstream.requests)
        # Let the windows fill: the worker's side stops making progress.
        await asyncio.sleep(0.5)
        assert s.upstream.requests[0].finished_at is None, "nothing holds the stream back"
        call.cancel()
        assert await until(lambda: s.upstream.requests[0].disconnected_at) < 1
        assert await until(lambda: s.app.workers.client("a").admission.stats.in_flight == 0) < 1
        assert (await s.decision(identity))["status"] == "cancelled"


async def test_many_cancelled_requests_leave_nothing_behind(tmp_path: Path) -> None:
    async with executor_stand(tmp_path, "a", members={"a": {"limits": {"maxConcurrency": 4}}}) as s:
        s.upstream.default = Script(hang_after_chunks=2)
        calls = [s.stub.Execute(execute_request(stream=True), timeout=60) for _ in range(20)]
        readers = [asyncio.create_task(anext(aiter(call))) for call in calls]
        await until(lambda: len(s.upstream.requests) == 4)
        for call in calls:
            call.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        stats = s.app.workers.client("a").admission.stats
        assert await until(lambda: stats.in_flight == 0) < 1
        s.upstream.default = Script()
        assert (await s.ask(execute_request())).text, "the slots were given back"
