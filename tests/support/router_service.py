"""A router service on a real gRPC server that decides on script: for the executor's behaviour, never for routing quality."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from kubefugu.common.v1 import common_pb2
from kubefugu.router.v1 import router_pb2, router_pb2_grpc
from kubefugu_core.errors import KubefuguError
from kubefugu_core.rpc import RpcServer

SERVICE = "kubefugu.router.v1.RouterService"


def decision(*ranked: str, role: int = common_pb2.ROLE_SOLVER, roles: bool = False, version: str = "v1") -> router_pb2.Decision:
    """A decision for the first of `ranked`."""
    every = (common_pb2.ROLE_SOLVER, common_pb2.ROLE_THINKER, common_pb2.ROLE_VERIFIER)
    return router_pb2.Decision(
        policy_version=version,
        worker=ranked[0],
        role=role,  # type: ignore[arg-type]
        workers=[
            router_pb2.WorkerScore(name=name, logit=-float(rank), probability=1 / (rank + 1), trained=True)
            for rank, name in enumerate(ranked)
        ],
        roles=[router_pb2.RoleScore(role=one, logit=0.0, probability=1 / 3) for one in every] if roles else [],
        input_tokens=12,
        engine_ms=1.5,
    )


@dataclass
class RouterService(router_pb2_grpc.RouterServiceServicer):
    """Answers Route with `decide(request)`; a KubefuguError is raised."""

    decide: Callable[[router_pb2.RouteRequest], router_pb2.Decision | KubefuguError]
    requests: list[router_pb2.RouteRequest] = field(default_factory=list)
    delay_s: float = 0.0

    async def Route(self, request: router_pb2.RouteRequest, context: Any) -> router_pb2.RouteResponse:
        self.requests.append(request)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        decided = self.decide(request)
        if isinstance(decided, KubefuguError):
            raise decided
        return router_pb2.RouteResponse(decision=decided)


@asynccontextmanager
async def router_service(
    decide: Callable[[router_pb2.RouteRequest], router_pb2.Decision | KubefuguError], *, address: str = "127.0.0.1:0"
) -> AsyncIterator[tuple[RouterService, str]]:
    """Run one; yields it and its target."""
    servicer = RouterService(decide)
    server = RpcServer(address, services=[SERVICE])
    router_pb2_grpc.add_RouterServiceServicer_to_server(servicer, server.grpc)
    await server.start()
    await server.set_serving(True)
    try:
        yield servicer, address if address.startswith("unix:") else f"127.0.0.1:{server.port}"
    finally:
        await server.stop(0)
