"""Asks routers and Conductors what they serve and executors what they counted, over gRPC.

Answers never raise; what went wrong is in them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import grpc

from kubefugu.conductor.v1 import conductor_pb2, conductor_pb2_grpc
from kubefugu.executor.v1 import executor_pb2, executor_pb2_grpc
from kubefugu.router.v1 import router_pb2, router_pb2_grpc
from kubefugu_core.rpc import from_rpc_error, open_channel
from kubefugu_operators.routingpolicy.observed import Counts, LoadedPolicy, RouterView

_STATES = {
    router_pb2.POLICY_STATE_RESIDENT: "resident",
    router_pb2.POLICY_STATE_ACTIVE: "active",
    router_pb2.POLICY_STATE_CANARY: "canary",
    router_pb2.POLICY_STATE_SHADOW: "shadow",
    router_pb2.POLICY_STATE_REFUSED: "refused",
}


@dataclass(frozen=True, slots=True)
class PeerTarget:
    """A pod's gRPC address. The uid makes a new pod with an old address another target."""

    address: str
    uid: str
    component: str = "router"
    """router, conductor or executor."""


@dataclass(frozen=True, slots=True)
class ExecutorView:
    """Counters of one executor by version; None where it did not answer."""

    counts: dict[str, Counts] | None = field(default=None)


class Peers:
    """The questions. The admin token is read at each call, so that a rotated one is picked up."""

    def __init__(self, *, read_token: Callable[[], str], timeout_s: float = 5.0) -> None:
        self._read_token = read_token
        self._timeout_s = timeout_s

    async def follower(self, target: PeerTarget) -> RouterView:
        """GetPolicies of one router or Conductor."""
        try:
            answer = await (self._conductor(target) if target.component == "conductor" else self._router(target))
        except grpc.aio.AioRpcError as error:
            told = from_rpc_error(error)
            return RouterView(reachable=False, message=f"{target.address}: {told.message}")
        return RouterView(
            reachable=True,
            serving_generation=answer.serving_generation,
            policies={
                policy.version: LoadedPolicy(_STATES.get(policy.state, ""), policy.reason, policy.message)
                for policy in answer.policies
            },
        )

    async def _conductor(self, target: PeerTarget) -> conductor_pb2.GetPoliciesResponse:
        async with open_channel(target.address) as channel:
            stub = conductor_pb2_grpc.ConductorServiceStub(channel)
            return await stub.GetPolicies(conductor_pb2.GetPoliciesRequest(), timeout=self._timeout_s)

    async def _router(self, target: PeerTarget) -> router_pb2.GetPoliciesResponse:
        token = self._read_token()
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        async with open_channel(target.address) as channel:
            stub = router_pb2_grpc.RouterAdminServiceStub(channel)
            return await stub.GetPolicies(router_pb2.GetPoliciesRequest(), timeout=self._timeout_s, metadata=metadata)

    async def executor(self, target: PeerTarget) -> ExecutorView:
        """GetPolicyCounters of one executor."""
        try:
            async with open_channel(target.address) as channel:
                stub = executor_pb2_grpc.ExecutorServiceStub(channel)
                answer = await stub.GetPolicyCounters(executor_pb2.GetPolicyCountersRequest(), timeout=self._timeout_s)
        except grpc.aio.AioRpcError:
            return ExecutorView()
        return ExecutorView(
            {
                policy.policy_version: Counts(
                    policy.requests, policy.failures, policy.positive_feedback, policy.negative_feedback
                )
                for policy in answer.policies
            }
        )
