"""Composition root: settings -> workers, router client, decision store -> gRPC server."""

from __future__ import annotations

import asyncio
import sys

import structlog
import uvloop
from prometheus_client import CollectorRegistry, ProcessCollector
from pydantic import ValidationError
from pydantic_settings import CliApp

from kubefugu.executor.v1 import executor_pb2, executor_pb2_grpc
from kubefugu_coordination.clock import SystemClock
from kubefugu_coordination.loop.runner import LoopSettings
from kubefugu_coordination.workers import KeySource, PoolFile, WorkerSet
from kubefugu_core.errors import KubefuguError
from kubefugu_core.pool import load_pool
from kubefugu_core.rpc import RpcServer
from kubefugu_core.stores import BufferedDecisions, Retention, open_decision_store
from kubefugu_core.telemetry import configure_logging, serve_metrics
from kubefugu_executor.metrics import ExecutorMetrics, PoolCollector
from kubefugu_executor.readiness import wait_until_ready
from kubefugu_executor.router_client import GrpcRouter
from kubefugu_executor.service import ExecutorServicer
from kubefugu_executor.settings import ExecutorSettings
from kubefugu_executor.workflows import Workflows

SERVICE = executor_pb2.DESCRIPTOR.services_by_name["ExecutorService"].full_name
_log = structlog.get_logger()


class ExecutorApp:
    """Everything wired. `start`, then `run_until_signal`, and `stop` in any case."""

    def __init__(self, settings: ExecutorSettings) -> None:
        """Raises DataError for a pool or a store that cannot be used."""
        self.settings = settings
        self.clock = SystemClock()
        pool = load_pool(settings.pool_file)
        self.metrics = ExecutorMetrics(CollectorRegistry())
        self.workers = WorkerSet(pool, clock=self.clock, keys=KeySource(keys_dir=settings.keys_dir), observer=self.metrics)
        retention = Retention(ttl_s=settings.decisions_days * 86_400, max_records=settings.decisions_max)
        self.decisions = BufferedDecisions(open_decision_store(settings.store_url(), retention=retention))
        self.router = GrpcRouter(settings.router_target, clock=self.clock)
        self.loop_settings = LoopSettings(
            progress_s=settings.progress_seconds,
            router_timeout_s=settings.router_timeout_seconds,
            keep_text=settings.record_content,
        )
        self.workflows: Workflows | None = None
        if settings.conductor_target:
            self.workflows = Workflows(settings, router=self.router, loop_settings=self.loop_settings, clock=self.clock)
        self.server = RpcServer(settings.listen, services=[SERVICE])
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Serve; health says SERVING as soon as requests can be answered."""
        settings, workers = self.settings, self.workers
        servicer = ExecutorServicer(
            workers=workers,
            router=self.router,
            decisions=self.decisions,
            metrics=self.metrics,
            clock=self.clock,
            loop_settings=self.loop_settings,
            workflows=self.workflows,
            max_in_flight=settings.max_in_flight,
        )
        executor_pb2_grpc.add_ExecutorServiceServicer_to_server(servicer, self.server.grpc)
        self.metrics.registry.register(PoolCollector(workers.snapshot, lambda: self.decisions.dropped))
        ProcessCollector(registry=self.metrics.registry)
        serve_metrics(settings.metrics_port, registry=self.metrics.registry)
        await self.server.start()
        pool_file = PoolFile(settings.pool_file, on_change=workers.update, clock=self.clock)
        ready = wait_until_ready(lambda: workers.snapshot().pool, self.router, self._announce, clock=self.clock)
        work = [self.decisions.run(), pool_file.watch(), ready]
        if self.workflows is not None:
            work.append(self.workflows.connect())
        self._tasks.extend(asyncio.get_running_loop().create_task(job) for job in work)

    async def _announce(self) -> None:
        if self.workflows is not None:
            await self.workflows.first_try()
        await self.server.set_serving(True)
        snapshot = self.workers.snapshot()
        _log.info("executor_ready", listen=self.settings.listen, pool=snapshot.name, workers=len(snapshot.clients))

    async def run_until_signal(self) -> None:
        """Wait for SIGTERM or SIGINT, then let requests in flight end within the grace."""
        async with asyncio.TaskGroup() as group:
            # A background task that fails ends the process, loudly, instead of leaving it half alive.
            watching = group.create_task(self._background())
            await self.server.run_until_signal(drain_s=self.settings.drain_seconds)
            watching.cancel()

    async def _background(self) -> None:
        await asyncio.gather(*self._tasks)

    async def stop(self) -> None:
        """Stop tasks, write what is left of the decision records, close connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.decisions.close()
        await self.workers.close()
        await self.router.close()
        if self.workflows is not None:
            await self.workflows.close()


async def serve(settings: ExecutorSettings) -> None:
    """Serve until SIGTERM or SIGINT. Raises DataError for a pool or a store that cannot be used."""
    app = ExecutorApp(settings)
    try:
        await app.start()
        await app.run_until_signal()
    finally:
        await app.stop()
        _log.info("executor_stopped")


def main() -> None:
    """Entry point of `kubefugu-executor` and `python -m kubefugu_executor`."""
    try:
        settings = CliApp.run(ExecutorSettings)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors())
        sys.exit(f"kubefugu-executor: {problems}")
    configure_logging(service="executor", level=settings.log_level, fmt=settings.log_format)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings))
    except KubefuguError as error:
        sys.exit(f"kubefugu-executor: {error.message}")
