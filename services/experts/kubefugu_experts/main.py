"""Composition root: settings -> sandbox of engines -> HTTP application -> server."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Generator, Sequence

import structlog
import uvicorn
from pydantic import ValidationError
from pydantic_settings import CliApp

from kubefugu_core.errors import KubefuguError
from kubefugu_core.telemetry import configure_logging
from kubefugu_experts.api.app import ExpertsApi, create_app
from kubefugu_experts.engines.registry import EngineSpec, select
from kubefugu_experts.sandbox import Sandbox
from kubefugu_experts.settings import ExpertsSettings

_log = structlog.get_logger()


def main() -> None:
    """Entry point of `kubefugu-experts`."""
    try:
        settings = CliApp.run(ExpertsSettings)
        configure_logging(service="experts", level=settings.log_level, fmt=settings.log_format)
        asyncio.run(serve(settings, select(settings.engines)))
    except (ValidationError, KubefuguError) as error:
        sys.exit(f"kubefugu-experts: {error}")


async def serve(settings: ExpertsSettings, specs: Sequence[EngineSpec]) -> None:
    """Load the engines, then serve until SIGTERM or SIGINT. /health answers only when the engines can."""
    sandbox = Sandbox(specs, children=settings.children, limits=settings.limits)
    try:
        await sandbox.start()
        for reason in sandbox.left_out.values():
            _log.warning("engine_left_out", reason=reason)
        api = ExpertsApi(sandbox, names=[spec.name for spec in specs], max_in_flight=settings.max_in_flight)
        await _Server(_config(settings, api)).serve()
    finally:
        await sandbox.close()
        _log.info("experts_stopped")


def _config(settings: ExpertsSettings, api: ExpertsApi) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(api),
        host=settings.host,
        port=settings.port,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, int(settings.drain_seconds)),
    )


class _Server(uvicorn.Server):
    """Returns at SIGTERM and SIGINT instead of dying of them, and logs where it listens (port 0: any)."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """uvicorn's own handlers would raise the signal again after the drain, and the children would not be closed."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and log the address."""
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            _log.info("experts_ready", host=host, port=port)
