"""Composition root: settings -> worker clients -> planner -> gRPC server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

import structlog
import uvloop
from pydantic import ValidationError
from pydantic_settings import CliApp

from kubefugu.conductor.v1 import conductor_pb2, conductor_pb2_grpc
from kubefugu_conductor.line import PlannerLine
from kubefugu_conductor.local import LocalModel, load_model, load_writer
from kubefugu_conductor.planner import PoolPlanner, default_planners
from kubefugu_conductor.planner_call import PlannerOptions
from kubefugu_conductor.service import ConductorServicer
from kubefugu_conductor.settings import ConductorSettings
from kubefugu_conductor.writers import PlanWriter
from kubefugu_coordination.clock import SystemClock
from kubefugu_coordination.workers import KeySource, PoolFile, WorkerSet
from kubefugu_core.errors import DataError, KubefuguError
from kubefugu_core.policy_sets import PolicySetFile
from kubefugu_core.pool import WorkerPool, load_pool
from kubefugu_core.rpc import RpcServer
from kubefugu_core.telemetry import configure_logging, serve_metrics

SERVICE = conductor_pb2.DESCRIPTOR.services_by_name["ConductorService"].full_name
_log = structlog.get_logger()


def check_planner(pool: WorkerPool, planner: str) -> None:
    """Raises DataError where the pool has nobody who could plan."""
    named = planner or pool.spec.routing.planner
    if not default_planners(pool.spec.workers, named=named):
        what = f"no worker {named!r}" if named else "only specialists, none of which can plan"
        raise DataError(f"pool {pool.metadata.name}: it has {what}", field="planner")


async def serve(settings: ConductorSettings) -> None:
    """Serve until SIGTERM or SIGINT. Raises DataError for a pool that cannot be used."""
    clock = SystemClock()
    pool = load_pool(settings.pool_file)
    model = await asyncio.to_thread(load_model, settings)
    if model is None:
        check_planner(pool, settings.planner)
    workers = WorkerSet(pool, clock=clock, keys=KeySource(keys_dir=settings.keys_dir))
    options = PlannerOptions(
        planner=settings.planner,
        max_output_tokens=settings.max_output_tokens,
        max_subtask_chars=settings.max_subtask_chars,
        temperature=settings.temperature,
        constrained=settings.constrained,
    )
    server = RpcServer(settings.listen, services=[SERVICE])
    line = follow_line(model, settings, server) if model is not None and settings.policy_set_file is not None else None
    local = line.writer if line is not None else await _fixed_planner(model, settings)
    planner = PoolPlanner(workers.snapshot, options, local=local)
    conductor_pb2_grpc.add_ConductorServiceServicer_to_server(ConductorServicer(planner, clock, line), server.grpc)
    serve_metrics(settings.metrics_port)

    def take_over(changed: WorkerPool) -> None:
        if model is None:
            check_planner(changed, settings.planner)
        workers.update(changed)

    watchers = [asyncio.create_task(PoolFile(settings.pool_file, on_change=take_over, clock=clock).watch())]
    try:
        await server.start()
        if line is not None and settings.policy_set_file is not None:
            watched = PolicySetFile(path=settings.policy_set_file, apply=line.apply, require=line.require, looked=line.refresh)
            await watched.look()
            await line.refresh()
            watchers.append(asyncio.create_task(watched.watch(interval_s=settings.watch_seconds)))
        else:
            await server.set_serving(True)
        _log.info("conductor_ready", listen=settings.listen, pool=pool.metadata.name, workers=len(pool.spec.workers))
        await server.run_until_signal(drain_s=settings.drain_seconds)
    finally:
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
        await workers.close()


def follow_line(model: LocalModel, settings: ConductorSettings, server: RpcServer) -> PlannerLine:
    """The line of trained Conductors that the settings' policy set file declares; nothing is applied yet."""
    # The folder as it is named: a mounted ConfigMap's files are links into a folder that each change replaces.
    own = (settings.policy_set_file.absolute().parent.as_uri(),) if settings.policy_set_file else ()
    return PlannerLine(model, (*settings.allowed_uri_prefixes, *own), report=server.set_serving)


async def _fixed_planner(model: LocalModel | None, settings: ConductorSettings) -> Callable[[str], PlanWriter | None]:
    writer = await asyncio.to_thread(load_writer, model, settings) if model is not None else None
    return lambda _: writer


def main() -> None:
    """Entry point of `kubefugu-conductor` and `python -m kubefugu_conductor`."""
    try:
        settings = CliApp.run(ConductorSettings)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors())
        sys.exit(f"kubefugu-conductor: {problems}")
    configure_logging(service="conductor", level=settings.log_level, fmt=settings.log_format)
    try:
        uvloop.run(serve(settings))
    except KubefuguError as error:
        sys.exit(f"kubefugu-conductor: {error.message}")
