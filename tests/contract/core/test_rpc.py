"""The gRPC plumbing against a real server: deadlines, error details, admin token, health, drain."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kubefugu.executor.v1 import executor_pb2, executor_pb2_grpc
from kubefugu.router.v1 import router_pb2, router_pb2_grpc
from kubefugu_core.errors import AuthenticationError, InternalError, InvalidRequestError, PolicyNotFoundError
from kubefugu_core.rpc import RpcServer, from_rpc_error, open_channel
from kubefugu_core.rpc.interceptors import AdminTokenInterceptor

ROUTER = "kubefugu.router.v1.RouterService"


class Router(router_pb2_grpc.RouterServiceServicer):
    def __init__(self) -> None:
        self.calls = 0

    async def Route(self, request: router_pb2.RouteRequest, context: Any) -> router_pb2.RouteResponse:
        self.calls += 1
        if request.policy_version == "absent":
            raise PolicyNotFoundError("no policy 'absent'", field="policy_version")
        if request.policy_version == "defect":
            raise ZeroDivisionError("text that must not leak")
        if request.policy_version == "flaky" and self.calls < 3:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
        return router_pb2.RouteResponse(decision=router_pb2.Decision(worker="w"))


class Admin(router_pb2_grpc.RouterAdminServiceServicer):
    async def GetPolicies(self, request: Any, context: Any) -> router_pb2.GetPoliciesResponse:
        return router_pb2.GetPoliciesResponse(serving_generation=7)


class Executor(executor_pb2_grpc.ExecutorServiceServicer):
    def __init__(self) -> None:
        self.cancelled = asyncio.Event()

    async def Execute(self, request: Any, context: Any) -> AsyncIterator[executor_pb2.ExecuteResponse]:
        yield executor_pb2.ExecuteResponse(progress=executor_pb2.Progress(message="one"))
        if request.tenant == "fails":
            raise InvalidRequestError("bad", field="model")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


@pytest.fixture
async def server() -> AsyncIterator[tuple[RpcServer, Router, Executor]]:
    rpc = RpcServer("127.0.0.1:0", services=[ROUTER], interceptors=[AdminTokenInterceptor(lambda: "token")])
    router, executor = Router(), Executor()
    router_pb2_grpc.add_RouterServiceServicer_to_server(router, rpc.grpc)
    router_pb2_grpc.add_RouterAdminServiceServicer_to_server(Admin(), rpc.grpc)
    executor_pb2_grpc.add_ExecutorServiceServicer_to_server(executor, rpc.grpc)
    await rpc.start()
    yield rpc, router, executor
    await rpc.stop(0)


@pytest.fixture
async def channel(server: tuple[RpcServer, Router, Executor]) -> AsyncIterator[grpc.aio.Channel]:
    async with open_channel(f"127.0.0.1:{server[0].port}", retried_methods=[f"{ROUTER}/Route"]) as opened:
        yield opened


async def test_a_call_without_a_deadline_is_refused(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await router_pb2_grpc.RouterServiceStub(channel).Route(router_pb2.RouteRequest())
    error = from_rpc_error(caught.value)
    assert isinstance(error, InvalidRequestError)
    assert error.field == "grpc-timeout"


async def test_an_error_arrives_as_itself(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await router_pb2_grpc.RouterServiceStub(channel).Route(router_pb2.RouteRequest(policy_version="absent"), timeout=60)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    error = from_rpc_error(caught.value)
    assert isinstance(error, PolicyNotFoundError)
    assert error.field == "policy_version"


async def test_a_defect_becomes_internal_without_its_text(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await router_pb2_grpc.RouterServiceStub(channel).Route(router_pb2.RouteRequest(policy_version="defect"), timeout=60)
    assert isinstance(from_rpc_error(caught.value), InternalError)
    assert "leak" not in str(caught.value)


async def test_unavailable_is_retried_on_named_methods(
    server: tuple[RpcServer, Router, Executor], channel: grpc.aio.Channel
) -> None:
    response = await router_pb2_grpc.RouterServiceStub(channel).Route(
        router_pb2.RouteRequest(policy_version="flaky"), timeout=60
    )
    assert response.decision.worker == "w"
    assert server[1].calls == 3


async def test_admin_services_need_the_token(channel: grpc.aio.Channel) -> None:
    stub = router_pb2_grpc.RouterAdminServiceStub(channel)
    for metadata in ((), (("authorization", "Bearer wrong"),)):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetPolicies(router_pb2.GetPoliciesRequest(), timeout=60, metadata=metadata)
        assert isinstance(from_rpc_error(caught.value), AuthenticationError)
    allowed = await stub.GetPolicies(router_pb2.GetPoliciesRequest(), timeout=60, metadata=(("authorization", "Bearer token"),))
    assert allowed.serving_generation == 7


async def test_a_stream_that_fails_carries_the_error(channel: grpc.aio.Channel) -> None:
    call = executor_pb2_grpc.ExecutorServiceStub(channel).Execute(executor_pb2.ExecuteRequest(tenant="fails"), timeout=60)
    seen = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for event in call:
            seen.append(event.progress.message)
    assert seen == ["one"]
    assert from_rpc_error(caught.value).field == "model"


async def test_a_client_that_hangs_up_cancels_the_handler(
    server: tuple[RpcServer, Router, Executor], channel: grpc.aio.Channel
) -> None:
    call = executor_pb2_grpc.ExecutorServiceStub(channel).Execute(executor_pb2.ExecuteRequest(), timeout=60)
    await call.read()
    call.cancel()
    await asyncio.wait_for(server[2].cancelled.wait(), 10.0)


async def test_health_follows_set_serving(server: tuple[RpcServer, Router, Executor], channel: grpc.aio.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    kind = health_pb2.HealthCheckResponse

    async def status() -> int:
        return (await stub.Check(health_pb2.HealthCheckRequest(service=ROUTER))).status

    assert await status() == kind.NOT_SERVING
    await server[0].set_serving(True)
    assert await status() == kind.SERVING
