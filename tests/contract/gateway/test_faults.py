"""What a client gets when the executor fails: an HTTP error before the first byte, an error event after, no false [DONE]."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import httpx
import orjson
import pytest
from support.bodies import body
from support.executor import Response, Script, chunk, done, say_hello, scripted_executor, turn_started
from support.gateway import running_gateway
from support.waiting import until

from kubefugu.executor.v1 import executor_pb2
from kubefugu_core import errors

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATH = "/v1/chat/completions"


def fails_with(error: BaseException) -> Script:
    async def script(request: executor_pb2.ExecuteRequest) -> AsyncIterator[Response]:
        yield turn_started()
        raise error

    return script


FAILURES = [
    (errors.ModelNotFoundError("The model 'x' does not exist.", field="model"), 404, "model", "model_not_found"),
    (errors.UnsupportedFeatureError("No worker takes tools.", field="tools"), 400, "tools", "unsupported_feature"),
    (errors.ContextTooLongError("Too long.", field="messages"), 400, "messages", "context_length_exceeded"),
    (errors.InvalidRequestError("No.", field="kubefugu.deny", metadata={"code": "finer"}), 400, "kubefugu.deny", "finer"),
    (errors.WorkerRejectedRequestError("The worker refuses it."), 400, None, "worker_rejected_request"),
    (errors.RateLimitedError("Slow down.", retry_after_s=2.2), 429, None, "rate_limit_exceeded"),
    (errors.BudgetExceededError("Spent."), 429, None, "budget_exceeded"),
    (errors.NoWorkerAvailableError("All are down."), 503, None, "no_worker_available"),
    (errors.WorkerStreamCutError("Cut."), 502, None, "worker_stream_cut"),
    (errors.DeadlineExceededError("Too slow."), 504, None, "deadline_exceeded"),
    (errors.InternalError("A defect."), 500, None, "internal"),
    (ValueError("a secret that must not leak"), 500, None, "internal"),
]  # fmt: skip


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("error", "status", "param", "code"), FAILURES, ids=lambda value: getattr(value, "code", str(value)[:24])
)
async def test_before_the_first_byte_an_error_is_an_http_error(
    rig: Any, error: BaseException, status: int, param: str | None, code: str, stream: bool
) -> None:
    rig.executor.script = fails_with(error)
    response = await rig.client.post(PATH, json=body(stream=stream))
    assert response.status_code == status
    told = response.json()["error"]
    assert set(told) == {"message", "type", "param", "code"}
    assert (told["param"], told["code"]) == (param, code)
    assert "secret" not in told["message"]
    assert response.headers["x-kubefugu-decision-id"] == rig.executor.requests[0].request_id
    assert response.headers.get("retry-after") == ("3" if code == "rate_limit_exceeded" else None)
    assert response.headers.get("x-should-retry") == (None if errors.spec_of(error).retryable else "false")


async def test_after_the_first_byte_an_error_is_an_event_without_done(rig: Any) -> None:
    async def script(request: executor_pb2.ExecuteRequest) -> AsyncIterator[Response]:
        yield turn_started()
        yield chunk(request, "half an ans")
        raise errors.WorkerStreamCutError("The worker's stream ended early.")

    rig.executor.script = script
    response = await rig.client.post(PATH, json=body(stream=True))
    assert response.status_code == 200
    events = [part for part in response.text.split("\n\n") if part]
    assert len(events) == 2
    assert orjson.loads(events[1].removeprefix("data: ")) == {
        "error": {
            "message": "The worker's stream ended early.",
            "type": "server_error",
            "param": None,
            "code": "worker_stream_cut",
        }
    }
    metrics = (await rig.client.get("/metrics")).text
    assert 'kubefugu_gateway_requests_total{model="fugu",outcome="worker_stream_cut",status="200"} 1.0' in metrics


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_an_executor_that_ends_without_a_result_is_an_error(rig: Any, stream: bool) -> None:
    async def script(request: executor_pb2.ExecuteRequest) -> AsyncIterator[Response]:
        yield turn_started()

    rig.executor.script = script
    response = await rig.client.post(PATH, json=body(stream=stream))
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal"


async def test_a_stream_that_ends_without_the_last_event_is_no_success(rig: Any) -> None:
    async def script(request: executor_pb2.ExecuteRequest) -> AsyncIterator[Response]:
        yield chunk(request, "half")

    rig.executor.script = script
    response = await rig.client.post(PATH, json=body(stream=True))
    assert response.text.count("data: ") == 2
    assert '"error"' in response.text
    assert "[DONE]" not in response.text


async def test_a_plain_request_whose_result_is_empty_is_an_error(rig: Any) -> None:
    async def script(request: executor_pb2.ExecuteRequest) -> AsyncIterator[Response]:
        yield done(request)

    rig.executor.script = script
    assert (await rig.client.post(PATH, json=body())).status_code == 500


async def test_an_executor_that_hangs_ends_at_the_deadline_and_is_cancelled() -> None:
    async def script(request: executor_pb2.ExecuteRequest) -> AsyncIterator[Response]:
        yield turn_started()
        await asyncio.Event().wait()

    async with (
        scripted_executor(script) as (executor, target),
        running_gateway(target, request_timeout_seconds=1) as gateway,
        httpx.AsyncClient(base_url=gateway.url, timeout=60) as client,
    ):
        response = await client.post(PATH, json=body())
        assert response.status_code == 504
        assert response.json()["error"] == {
            "message": "The request did not end within 1 s.",
            "type": "timeout_error",
            "param": None,
            "code": "deadline_exceeded",
        }
        await until(executor.cancelled.is_set, what="the executor's call is cancelled")


async def test_without_an_executor_the_answer_is_503_at_once_and_names_no_address() -> None:
    async with running_gateway("127.0.0.1:1") as gateway, httpx.AsyncClient(base_url=gateway.url, timeout=60) as client:
        for stream in (False, True):
            response = await client.post(PATH, json=body(stream=stream))
            assert response.status_code == 503
            assert response.json()["error"]["code"] == "unavailable"
            assert "127.0.0.1" not in response.text
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/v1/models")).status_code == 503


async def test_an_executor_that_dies_in_mid_stream_leaves_an_error_event() -> None:
    killed = asyncio.Event()

    async def script(request: executor_pb2.ExecuteRequest) -> AsyncIterator[Response]:
        yield chunk(request, "half")
        await killed.wait()

    async with AsyncExitStack() as stack:
        executor = await stack.enter_async_context(AsyncExitStack())
        _, target = await executor.enter_async_context(scripted_executor(script))
        gateway = await stack.enter_async_context(running_gateway(target))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=gateway.url, timeout=60))
        response = await stack.enter_async_context(client.stream("POST", PATH, json=body(stream=True)))
        lines = response.aiter_lines()
        assert (await anext(lines)).startswith("data: {")
        await executor.aclose()
        rest = [line async for line in lines if line]
    assert len(rest) == 1
    assert orjson.loads(rest[0].removeprefix("data: "))["error"]["code"] == "unavailable"


async def test_a_restarted_executor_is_found_again() -> None:
    async with scripted_executor(say_hello) as (_, target), running_gateway(target) as gateway:
        port = int(target.rsplit(":", 1)[1])
        async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as client:
            assert (await client.post(PATH, json=body())).status_code == 200
    # The same port again: nothing listens, then a new server does.
    async with running_gateway(target) as gateway, httpx.AsyncClient(base_url=gateway.url, timeout=60) as client:
        assert (await client.post(PATH, json=body())).status_code == 503
        async with scripted_executor(say_hello, port=port):
            statuses = list[int]()

            async def ask() -> None:
                while not statuses or statuses[-1] != 200:
                    statuses.append((await client.post(PATH, json=body())).status_code)
                    await asyncio.sleep(0.02)

            await asyncio.wait_for(ask(), 60)


async def test_an_error_status_of_grpc_itself_says_nothing_about_addresses(rig: Any) -> None:
    async def script(request: executor_pb2.ExecuteRequest) -> AsyncIterator[Response]:
        raise grpc.aio.AbortError("aborted elsewhere")
        yield

    rig.executor.script = script
    response = await rig.client.post(PATH, json=body())
    assert response.status_code in (500, 503)
    assert "aborted elsewhere" not in response.text
