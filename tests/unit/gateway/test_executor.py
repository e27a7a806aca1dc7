"""The client of the executor while an executor is replaced: who was there before is waited for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from support.ports import free_port

from kubefugu.executor.v1 import executor_pb2
from kubefugu_core.errors import UnavailableError
from kubefugu_gateway.executor import SERVICE, GrpcExecutor

AWAY_S = 2.5
"""Longer than a request waits for an executor that has never been reached."""


async def echo(request: Any, context: Any) -> AsyncIterator[executor_pb2.ExecuteResponse]:
    """Answer each request with one event."""
    yield executor_pb2.ExecuteResponse()


EXECUTE = grpc.unary_stream_rpc_method_handler(
    echo,
    request_deserializer=executor_pb2.ExecuteRequest.FromString,
    response_serializer=executor_pb2.ExecuteResponse.SerializeToString,
)


@contextlib.asynccontextmanager
async def replica(port: int) -> AsyncIterator[None]:
    """An executor's replica."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Execute": EXECUTE}),))
    servicer = health.aio.HealthServicer()
    await servicer.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)


async def answers(executor: GrpcExecutor) -> int:
    """How many events a request ends with."""
    return len([event async for event in executor.execute(executor_pb2.ExecuteRequest(), timeout_s=30).events()])


@pytest.mark.parametrize("known_by", ["a request", "the readiness probe"])
async def test_an_executor_that_is_replaced_is_waited_for(known_by: str) -> None:
    port = free_port()
    executor = GrpcExecutor(f"127.0.0.1:{port}")
    try:
        async with replica(port):
            if known_by == "a request":
                assert await answers(executor) == 1
            else:
                assert await executor.is_serving()
        waiting = asyncio.create_task(answers(executor))
        await asyncio.sleep(AWAY_S)
        assert not waiting.done()
        async with replica(port):
            assert await waiting == 1
    finally:
        await executor.close()


async def test_an_executor_that_never_was_there_is_told_at_once() -> None:
    executor = GrpcExecutor(f"127.0.0.1:{free_port()}")
    try:
        assert not await executor.is_serving()
        with pytest.raises(UnavailableError, match="cannot be reached"):
            await asyncio.wait_for(answers(executor), 10)
    finally:
        await executor.close()
