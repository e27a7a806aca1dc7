"""A client that goes away ends the executor's call within a second, whatever the gateway waits for."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
from support.bodies import body
from support.executor import Response, chunk, done, scripted_executor, turn_started
from support.gateway import running_gateway
from support.waiting import until

from kubefugu.executor.v1 import executor_pb2
from kubefugu_gateway import chat

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATH = "/v1/chat/completions"


async def hangs(request: executor_pb2.ExecuteRequest) -> AsyncIterator[Response]:
    yield turn_started()
    await asyncio.Event().wait()


async def hangs_in_mid_stream(request: executor_pb2.ExecuteRequest) -> AsyncIterator[Response]:
    yield chunk(request, "half")
    await asyncio.Event().wait()


async def floods(request: executor_pb2.ExecuteRequest) -> AsyncIterator[Response]:
    while True:
        yield chunk(request, "x" * 4096)


async def send_raw(port: int, document: Any, *, cut: int = 0) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    raw = orjson.dumps(document)
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(raw)}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode() + (raw[:-cut] if cut else raw))
    await writer.drain()
    return reader, writer


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_before_the_first_byte(rig: Any, stream: bool) -> None:
    rig.executor.script = hangs
    _, writer = await send_raw(rig.gateway.port, body(stream=stream))
    await until(rig.executor.started.is_set, what="the executor is called")
    writer.close()
    took_s = await until(rig.executor.cancelled.is_set, what="the executor's call is cancelled")
    assert took_s < 1


async def test_in_mid_stream(rig: Any) -> None:
    rig.executor.script = hangs_in_mid_stream
    async with (
        httpx.AsyncClient(base_url=rig.gateway.url, timeout=60) as client,
        client.stream("POST", PATH, json=body(stream=True)) as response,
    ):
        assert await anext(response.aiter_bytes())
        assert not rig.executor.cancelled.is_set()
    took_s = await until(rig.executor.cancelled.is_set, what="the executor's call is cancelled")
    assert took_s < 1


async def test_while_the_client_does_not_read(rig: Any) -> None:
    """The gateway is stuck in a write: back pressure reaches the executor, and closing the socket frees both."""
    rig.executor.script = floods
    reader, writer = await send_raw(rig.gateway.port, body(stream=True))
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.pause_reading()
    await until(lambda: rig.gateway.chat.metrics.registry.get_sample_value("kubefugu_gateway_in_flight") == 1, what="in flight")
    writer.transport.abort()
    took_s = await until(rig.executor.cancelled.is_set, what="the executor's call is cancelled")
    assert took_s < 1


async def test_a_client_that_never_reads_does_not_hold_a_request_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "_UNREAD_S", 0.1)
    async with scripted_executor(floods) as (_, target), running_gateway(target, request_timeout_seconds=0.3) as gateway:
        reader, writer = await send_raw(gateway.port, body(stream=True))
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()
        registry = gateway.chat.metrics.registry
        await until(lambda: registry.get_sample_value("kubefugu_gateway_in_flight") == 0, what="the request is given up")
        writer.transport.abort()


async def test_while_it_sends_its_body(rig: Any) -> None:
    _, writer = await send_raw(rig.gateway.port, body(), cut=5)
    in_flight = rig.gateway.chat.metrics.registry
    await until(lambda: in_flight.get_sample_value("kubefugu_gateway_in_flight") == 1, what="the request is read")
    writer.close()
    await until(lambda: in_flight.get_sample_value("kubefugu_gateway_in_flight") == 0, what="the request is given up")
    assert rig.executor.requests == []


async def test_a_disconnect_is_counted_and_leaves_nothing_in_flight(rig: Any) -> None:
    rig.executor.script = hangs
    registry = rig.gateway.chat.metrics.registry
    labels = {"model": "fugu", "status": "499", "outcome": "cancelled"}
    before = registry.get_sample_value("kubefugu_gateway_requests_total", labels) or 0
    _, writer = await send_raw(rig.gateway.port, body())
    await until(rig.executor.started.is_set, what="the executor is called")
    writer.close()
    await until(
        lambda: (registry.get_sample_value("kubefugu_gateway_requests_total", labels) or 0) == before + 1, what="it is counted"
    )
    assert registry.get_sample_value("kubefugu_gateway_in_flight") == 0


async def test_a_kept_alive_connection_serves_the_next_request_after_a_stream(rig: Any) -> None:
    reader, writer = await send_raw(rig.gateway.port, body(stream=True))
    first = await reader.readuntil(b"0\r\n\r\n")
    assert b"[DONE]" in first
    raw = orjson.dumps(body())
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(raw)}\r\n\r\n"
    writer.write(head.encode() + raw)
    second = await reader.readuntil(b"\r\n\r\n")
    assert second.startswith(b"HTTP/1.1 200")
    length = re.search(rb"content-length: (\d+)", second)
    assert length is not None
    assert b"Hello world" in await reader.readexactly(int(length[1]))
    writer.close()


async def test_a_client_that_stays_hears_the_end(rig: Any) -> None:
    """The guard of the tests above: without a disconnect nothing is cancelled."""

    async def script(request: executor_pb2.ExecuteRequest) -> AsyncIterator[Response]:
        await asyncio.sleep(0.2)
        yield done(request, "late")

    rig.executor.script = script
    assert (await rig.client.post(PATH, json=body())).status_code == 200
    assert not rig.executor.cancelled.is_set()
