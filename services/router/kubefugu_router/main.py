"""Composition root: settings -> backbone and host -> registry and router -> gRPC server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
import uvloop
from prometheus_client import REGISTRY, CollectorRegistry
from pydantic import ValidationError
from pydantic_settings import CliApp

from kubefugu.router.v1 import router_pb2, router_pb2_grpc
from kubefugu_core.errors import KubefuguError
from kubefugu_core.policy_sets import PolicySetFile
from kubefugu_core.pool import WorkerPool, load_pool
from kubefugu_core.rpc import RpcServer
from kubefugu_core.rpc.interceptors import AdminTokenInterceptor
from kubefugu_core.telemetry import configure_logging, serve_metrics
from kubefugu_router.domain.ports import EngineHost
from kubefugu_router.encoding import Encoder
from kubefugu_router.hosts import build_host
from kubefugu_router.metrics import RouterMetrics
from kubefugu_router.readiness import LIVE, Readiness
from kubefugu_router.registry import PolicyRegistry
from kubefugu_router.router import Router
from kubefugu_router.service import RouterAdminServicer, RouterServicer, Running
from kubefugu_router.settings import RouterSettings
from kubefugu_router.staging import Stager
from kubefugu_router.store import PolicyStore

SERVICES = [service.full_name for service in router_pb2.DESCRIPTOR.services_by_name.values()]
_log = structlog.get_logger()


@dataclass(eq=False)
class _Parts:
    """What has to be closed again."""

    store: PolicyStore
    encoder: Encoder | None = None
    host: EngineHost | None = None

    async def close(self) -> None:
        if self.host is not None:
            await self.host.close()
        if self.encoder is not None:
            self.encoder.close()
        self.store.close()


def read_token(path: Path | None) -> str:
    """The admin token; empty where no file is configured. A configured file that can't be read must not open the door."""
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8").strip() or "\0"
    except OSError:
        return "\0"


def _prefixes(settings: RouterSettings) -> tuple[str, ...]:
    # The folder as it is named: a mounted ConfigMap's files are links into a folder that each change replaces.
    own = (settings.policy_set_file.absolute().parent.as_uri(),) if settings.policy_set_file else ()
    return (*settings.allowed_uri_prefixes, *own)


@asynccontextmanager
async def running(settings: RouterSettings, *, registry: CollectorRegistry = REGISTRY) -> AsyncIterator[RpcServer]:
    """A router that listens at once and serves as soon as it can; closed on leaving.

    Raises KubefuguError for a router that can't start.
    """
    metrics = RouterMetrics(registry)
    state = Running()
    admin = AdminTokenInterceptor(lambda: read_token(settings.admin_token_file))
    server = RpcServer(settings.listen, services=SERVICES, interceptors=[admin], with_reflection=settings.reflection)
    readiness = Readiness(server.set_serving, partial(server.set_named, LIVE))
    router_pb2_grpc.add_RouterServiceServicer_to_server(RouterServicer(state, metrics.failed), server.grpc)
    router_pb2_grpc.add_RouterAdminServiceServicer_to_server(RouterAdminServicer(state, readiness), server.grpc)
    serve_metrics(settings.metrics_port, registry=registry)
    parts = _Parts(PolicyStore(settings.state_dir))
    try:
        await server.start()
        await server.set_named(LIVE, True)
        watchers = await _bring_up(settings, metrics, state, readiness, parts)
        # A watcher that fails for a reason nobody foresaw ends the process: a restart is better than a router gone blind.
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(watcher) for watcher in watchers]
            yield server
            for task in tasks:
                task.cancel()
    finally:
        await server.stop(0)
        await parts.close()


async def serve(settings: RouterSettings) -> None:
    """Serve until SIGTERM or SIGINT, then drain."""
    async with running(settings) as server:
        await server.run_until_signal(drain_s=settings.drain_seconds)


async def _bring_up(
    settings: RouterSettings, metrics: RouterMetrics, state: Running, readiness: Readiness, parts: _Parts
) -> list[Coroutine[object, object, None]]:
    """Load backbone and policies; returns what watches from then on."""

    def pool() -> WorkerPool | None:
        return load_pool(settings.pool_file) if settings.pool_file else None

    stager = Stager(parts.store, _prefixes(settings), pool)
    host, tokenizer = await asyncio.to_thread(build_host, settings, stager, metrics)
    parts.host = host
    await host.start()
    parts.encoder = encoder = Encoder(tokenizer, max_tokens=settings.max_input_tokens)
    policies = PolicyRegistry(
        host=host,
        stager=stager,
        store=parts.store,
        encoder=encoder,
        observer=metrics,
        keep_resident=settings.keep_resident,
    )
    readiness.registry = policies
    remembered = await policies.restore()
    readiness.require(remembered.generation if remembered else 0)
    watchers = [readiness.watch(host, interval_s=settings.pulse_seconds)]
    if settings.policy_set_file is not None:
        watched = PolicySetFile(
            path=settings.policy_set_file, apply=policies.apply, require=readiness.require, looked=readiness.refresh
        )
        await watched.look()
        watchers.append(watched.watch(interval_s=settings.watch_seconds))
    state.registry, state.router = policies, Router(host, policies, encoder, metrics)
    info = host.info
    _log.info("router_loaded", listen=settings.listen, backbone=info.id, revision=info.revision, device=info.device)
    return watchers


def main() -> None:
    """Read the settings and serve; `__main__` is the entry point."""
    try:
        settings = CliApp.run(RouterSettings)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors())
        sys.exit(f"kubefugu-router: {problems}")
    configure_logging(service="router", level=settings.log_level, fmt=settings.log_format)
    try:
        uvloop.run(serve(settings))
    except KubefuguError as error:
        sys.exit(f"kubefugu-router: {error.message}")
