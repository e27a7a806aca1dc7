"""gRPC calls of the command line. Addresses come from the running local stack, or from an option or the environment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc

from kubefugu.conductor.v1 import conductor_pb2, conductor_pb2_grpc
from kubefugu.executor.v1 import executor_pb2, executor_pb2_grpc
from kubefugu.router.v1 import router_pb2, router_pb2_grpc
from kubefugu_core.errors import UnavailableError
from kubefugu_core.rpc import from_rpc_error, open_channel

_Reply = TypeVar("_Reply")

DEFAULT_TIMEOUT_S = 30.0
"""Deadline of a call."""


def _call(target: str, invoke: Callable[[grpc.aio.Channel], Awaitable[_Reply]]) -> _Reply:
    async def run() -> _Reply:
        async with open_channel(target) as channel:
            try:
                return await invoke(channel)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNAVAILABLE and "onnect" in (error.details() or ""):
                    raise UnavailableError(f"Nothing answers at {target}.") from error
                raise from_rpc_error(error) from error

    return asyncio.run(run())


class RouterClient:
    """The router's two services."""

    def __init__(self, target: str, *, admin_token: str = "", timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._target = target
        self._timeout_s = timeout_s
        self._metadata = (("authorization", f"Bearer {admin_token}"),) if admin_token else ()

    def explain(self, request: router_pb2.RouteRequest) -> router_pb2.ExplainResponse:
        """Decide one turn and say what went into it."""
        message = router_pb2.ExplainRequest(request=request)
        return _call(
            self._target,
            lambda channel: router_pb2_grpc.RouterServiceStub(channel).Explain(message, timeout=self._timeout_s),
        )

    def get_policies(self) -> router_pb2.GetPoliciesResponse:
        """What is declared, loaded, serving or refused."""
        message = router_pb2.GetPoliciesRequest()
        return _call(
            self._target,
            lambda channel: router_pb2_grpc.RouterAdminServiceStub(channel).GetPolicies(
                message, timeout=self._timeout_s, metadata=self._metadata
            ),
        )

    def set_policies(self, policy_set: router_pb2.PolicySet) -> router_pb2.SetPoliciesResponse:
        """Declare a policy set."""
        message = router_pb2.SetPoliciesRequest(policy_set=policy_set)
        return _call(
            self._target,
            lambda channel: router_pb2_grpc.RouterAdminServiceStub(channel).SetPolicies(
                message, timeout=self._timeout_s, metadata=self._metadata
            ),
        )

    def probe(self, message: router_pb2.ProbeRequest) -> router_pb2.ProbeResponse:
        """Decide a fixed transcript on every engine instance."""
        return _call(
            self._target,
            lambda channel: router_pb2_grpc.RouterAdminServiceStub(channel).Probe(
                message, timeout=self._timeout_s, metadata=self._metadata
            ),
        )


class ExecutorClient:
    """The executor's reading calls."""

    def __init__(self, target: str, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._target = target
        self._timeout_s = timeout_s

    def list_workers(self) -> executor_pb2.ListWorkersResponse:
        """Health and counters of each worker."""
        message = executor_pb2.ListWorkersRequest()
        return _call(
            self._target,
            lambda channel: executor_pb2_grpc.ExecutorServiceStub(channel).ListWorkers(message, timeout=self._timeout_s),
        )


class ConductorClient:
    """The planner."""

    def __init__(self, target: str, *, timeout_s: float = 120.0) -> None:
        self._target = target
        self._timeout_s = timeout_s

    def plan(self, message: conductor_pb2.PlanRequest) -> conductor_pb2.PlanResponse:
        """Plan one workflow."""
        return _call(
            self._target,
            lambda channel: conductor_pb2_grpc.ConductorServiceStub(channel).Plan(message, timeout=self._timeout_s),
        )
