"""A real Conductor service in a test's own event loop, over a scripted planner."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kubefugu.conductor.v1 import conductor_pb2_grpc
from kubefugu_conductor.main import SERVICE
from kubefugu_conductor.planner import PoolPlanner
from kubefugu_conductor.planner_call import PlannerOptions
from kubefugu_conductor.service import ConductorServicer
from kubefugu_coordination.workers import RetryPolicy, WorkerSet
from kubefugu_core.rpc import RpcServer
from support.pools import CLOCK, pool_of, worker
from support.upstream import Upstream


@asynccontextmanager
async def conductor_service(*, listen: str = "127.0.0.1:0") -> AsyncIterator[tuple[Upstream, str]]:
    """Yields the planner's upstream and the Conductor's gRPC target."""
    async with Upstream() as upstream:
        workers = WorkerSet(pool_of(worker("planner", upstream.url)), retry=RetryPolicy(attempts=1))
        server = RpcServer(listen, services=[SERVICE])
        servicer = ConductorServicer(PoolPlanner(workers.snapshot, PlannerOptions()), CLOCK)
        conductor_pb2_grpc.add_ConductorServiceServicer_to_server(servicer, server.grpc)
        await server.start()
        await server.set_serving(True)
        try:
            yield upstream, listen if listen.startswith("unix:") else f"127.0.0.1:{server.port}"
        finally:
            await server.stop(0)
            await workers.close()
