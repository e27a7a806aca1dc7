"""The router over gRPC, behind the loop's Router protocol."""

from __future__ import annotations

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kubefugu.common.v1 import common_pb2
from kubefugu.router.v1 import router_pb2, router_pb2_grpc
from kubefugu_coordination.clock import Clock, Deadline
from kubefugu_coordination.loop.router import Decision, RoleScore, RouteQuery, Score, Shadow
from kubefugu_coordination.workers.breaker import Breaker, BreakerSettings
from kubefugu_core.errors import DeadlineExceededError, InternalError, KubefuguError, UnavailableError
from kubefugu_core.pool import Role
from kubefugu_core.rpc import from_rpc_error, open_channel

SERVICE = router_pb2.DESCRIPTOR.services_by_name["RouterService"].full_name
_TO_PROTO = {
    Role.SOLVER: common_pb2.ROLE_SOLVER,
    Role.THINKER: common_pb2.ROLE_THINKER,
    Role.VERIFIER: common_pb2.ROLE_VERIFIER,
}
_FROM_PROTO = {number: role for role, number in _TO_PROTO.items()}
_BREAKER = BreakerSettings(failures=3, open_s=1.0, max_open_s=8.0)
"""A router that is away must not cost every request its timeout."""


def role_to_proto(role: Role) -> common_pb2.Role.ValueType:
    """The proto's value."""
    return _TO_PROTO[role]


def role_from_proto(value: common_pb2.Role.ValueType) -> Role:
    """The role; policies without role rows leave it unspecified, which means solver."""
    return _FROM_PROTO.get(value, Role.SOLVER)


def request_of(query: RouteQuery) -> router_pb2.RouteRequest:
    """A query as the proto's request."""
    request = router_pb2.RouteRequest(
        transcript=[common_pb2.TranscriptMessage(role=role, text=text) for role, text in query.transcript],
        allowed=[
            common_pb2.AllowedWorker(name=offer.name, model=offer.model, roles=[_TO_PROTO[role] for role in offer.roles])
            for offer in query.offers
        ],
        conversation_key=query.conversation_key,
        policy_version=query.policy_version,
    )
    if query.sampling is not None:
        request.sampling.temperature = query.sampling.temperature
        request.sampling.seed = query.sampling.seed
    return request


def decision_of(decision: router_pb2.Decision) -> Decision:
    """The proto's decision as the loop's."""
    return Decision(
        policy_version=decision.policy_version,
        worker=decision.worker,
        role=role_from_proto(decision.role),
        workers=tuple(
            Score(s.name, s.probability, s.logit if s.HasField("logit") else None, s.trained) for s in decision.workers
        ),
        roles=tuple(RoleScore(role_from_proto(s.role), s.logit, s.probability) for s in decision.roles),
        input_tokens=decision.input_tokens,
        cached_tokens=decision.cached_tokens,
        truncated=decision.truncated,
        dropped_tokens=decision.dropped_tokens,
        shadows=tuple(Shadow(s.policy_version, s.worker, role_from_proto(s.role)) for s in decision.shadows),
        engine_ms=decision.engine_ms,
        canary=decision.canary,
    )


class GrpcRouter:
    """See Router. Tried again on UNAVAILABLE inside the deadline; a circuit spares requests a router that is away."""

    def __init__(self, target: str, *, clock: Clock) -> None:
        self._channel = open_channel(target, retried_methods=[f"{SERVICE}/Route"])
        self._stub = router_pb2_grpc.RouterServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)
        self._breaker = Breaker(clock, _BREAKER)

    async def route(self, query: RouteQuery, *, deadline: Deadline) -> Decision:
        """See Router."""
        if not self._breaker.try_acquire():
            raise UnavailableError("The router did not answer repeatedly and is not asked for a moment.")
        try:
            response = await self._stub.Route(request_of(query), timeout=max(0.001, deadline.remaining_s()))
        except grpc.aio.AioRpcError as error:
            told = from_rpc_error(error)
            self._book(told)
            raise told from error
        except BaseException:
            self._breaker.released()
            raise
        self._breaker.succeeded()
        return decision_of(response.decision)

    def _book(self, error: KubefuguError) -> None:
        if isinstance(error, UnavailableError | DeadlineExceededError | InternalError):
            self._breaker.failed()
        else:
            # It answered: the request was at fault.
            self._breaker.succeeded()

    async def is_serving(self, *, timeout_s: float = 2.0) -> bool:
        """Whether its health service says SERVING."""
        try:
            reply = await self._health.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=timeout_s)
        except grpc.aio.AioRpcError:
            return False
        serving: bool = reply.status == health_pb2.HealthCheckResponse.SERVING
        return serving

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()
