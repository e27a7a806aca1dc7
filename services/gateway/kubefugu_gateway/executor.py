"""The executor as the gateway sees it, and the gRPC client that reaches it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kubefugu.executor.v1 import executor_pb2, executor_pb2_grpc
from kubefugu_core.errors import DeadlineExceededError, InternalError, KubefuguError, UnavailableError
from kubefugu_core.rpc import from_rpc_error, open_channel
from kubefugu_core.rpc.details import DETAILS_KEY

SERVICE = "kubefugu.executor.v1.ExecutorService"
_READ_TIMEOUT_S = 10.0
_PATIENCE_S = 15.0
"""How long a request waits for an executor that was there before: one that is being replaced is gone for a second or two, and
its old address may be told for some more (CoreDNS: 5 s)."""
_FIRST_PATIENCE_S = 1.0
"""The same for one that has never been reached, by a request or by the readiness probe: its address may be wrong."""

_log = structlog.get_logger()


class Execution(Protocol):
    """One running request."""

    def events(self) -> AsyncGenerator[executor_pb2.ExecuteResponse, None]:
        """What happens, in order. Raises KubefuguError where the executor ends the call with an error."""
        ...

    def cancel(self, reason: KubefuguError) -> None:
        """End the call at once, downstream included; `events` then raises `reason`."""
        ...


class Executor(Protocol):
    """What the gateway needs of an executor."""

    def execute(self, request: executor_pb2.ExecuteRequest, *, timeout_s: float) -> Execution:
        """Start a request."""
        ...

    async def list_models(self) -> list[executor_pb2.Model]:
        """Models that can be asked for."""
        ...

    async def get_decision(self, request_id: str, *, tenant: str) -> bytes:
        """A decision record as JSON. Raises DecisionNotFoundError."""
        ...

    async def get_graph(self, request_id: str, *, tenant: str) -> str:
        """The picture (SVG) of a request's workflow. Raises DecisionNotFoundError."""
        ...

    async def is_serving(self) -> bool:
        """Whether requests can be answered now."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


@dataclass(slots=True)
class Link:
    """The channel that all calls share, and whether an executor has ever answered on it."""

    channel: grpc.aio.Channel
    was_there: bool = False


class GrpcExecution:
    """An `Execute` call."""

    def __init__(self, call: grpc.aio.UnaryStreamCall[Any, Any], *, link: Link, timeout_s: float) -> None:
        self._call = call
        self._link = link
        self._timeout_s = timeout_s
        self._reason: KubefuguError | None = None

    async def events(self) -> AsyncGenerator[executor_pb2.ExecuteResponse, None]:
        """See Execution."""
        guard = asyncio.create_task(self._give_up_when_away())
        try:
            async for response in self._call:
                guard.cancel()
                self._link.was_there = True
                yield response
        except grpc.aio.AioRpcError as error:
            raise self._reason or _translate(error, timeout_s=self._timeout_s) from error
        except asyncio.CancelledError:
            # gRPC also raises this where `cancel` ended the call and nobody cancelled the task that reads.
            task = asyncio.current_task()
            if self._reason is not None and (task is None or not task.cancelling()):
                raise self._reason from None
            raise
        finally:
            guard.cancel()
            self._call.cancel()

    async def _give_up_when_away(self) -> None:
        """End a call that waits for a connection when there has been none for too long."""
        channel = self._link.channel
        while True:
            state = channel.get_state(try_to_connect=True)
            if state is grpc.ChannelConnectivity.READY:
                await channel.wait_for_state_change(state)
                continue
            try:
                async with asyncio.timeout(_PATIENCE_S if self._link.was_there else _FIRST_PATIENCE_S):
                    await channel.channel_ready()
            except TimeoutError:
                self.cancel(UnavailableError("The executor cannot be reached; try again."))
                return

    def cancel(self, reason: KubefuguError) -> None:
        """See Execution."""
        if self._reason is None:
            self._reason = reason
        self._call.cancel()


class GrpcExecutor:
    """An executor behind a channel, which may spread calls over replicas."""

    def __init__(self, target: str) -> None:
        self._channel = open_channel(target, retried_methods=(f"{SERVICE}/GetDecision", f"{SERVICE}/ListModels"))
        self._link = Link(self._channel)
        self._stub = executor_pb2_grpc.ExecutorServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)

    def execute(self, request: executor_pb2.ExecuteRequest, *, timeout_s: float) -> Execution:
        """See Executor."""
        call = self._stub.Execute(request, timeout=timeout_s, wait_for_ready=True)
        return GrpcExecution(call, link=self._link, timeout_s=timeout_s)

    async def list_models(self) -> list[executor_pb2.Model]:
        """See Executor."""
        try:
            response = await self._stub.ListModels(executor_pb2.ListModelsRequest(), timeout=_READ_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise _translate(error, timeout_s=_READ_TIMEOUT_S) from error
        return list(response.models)

    async def get_decision(self, request_id: str, *, tenant: str) -> bytes:
        """See Executor."""
        request = executor_pb2.GetDecisionRequest(request_id=request_id, tenant=tenant)
        return bytes((await self._decision(request)).decision_json)

    async def get_graph(self, request_id: str, *, tenant: str) -> str:
        """See Executor."""
        request = executor_pb2.GetDecisionRequest(request_id=request_id, tenant=tenant, graph=True)
        return str((await self._decision(request)).graph_svg)

    async def _decision(self, request: executor_pb2.GetDecisionRequest) -> executor_pb2.GetDecisionResponse:
        try:
            return await self._stub.GetDecision(request, timeout=_READ_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise _translate(error, timeout_s=_READ_TIMEOUT_S) from error

    async def is_serving(self) -> bool:
        """See Executor."""
        try:
            answer = await self._health.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=1.0)
        except grpc.aio.AioRpcError:
            return False
        self._link.was_there = True
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def close(self) -> None:
        """See Executor."""
        await self._channel.close()


def _translate(error: grpc.aio.AioRpcError, *, timeout_s: float) -> KubefuguError:
    """An error with details is the executor's own; a bare status is gRPC's, whose text names addresses and stays in the log."""
    if DETAILS_KEY in dict(error.trailing_metadata() or ()):
        return from_rpc_error(error)
    code = error.code()
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceededError(f"The request did not end within {timeout_s:g} s.")
    _log.warning("executor_call_failed", code=code.name, details=error.details())
    if code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.DATA_LOSS):
        return InternalError("The executor failed.")
    return UnavailableError("The executor cannot be reached or ended the call; try again.")
