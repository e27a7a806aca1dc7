"""Composition root: settings -> sandbox of engines -> HTTP application -> server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

import structlog
from pydantic import ValidationError
from pydantic_settings import CliApp

from kubefugu_core.errors import KubefuguError
from kubefugu_core.telemetry import configure_logging
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
    sandbox.prepare()
    # Imported while the engines load in their own process: it halves the time to readiness on two cores.
    from kubefugu_experts.api.app import ExpertsApi, create_app
    from kubefugu_experts.api.server import ExpertsServer

    try:
        await sandbox.start()
        for reason in sandbox.left_out.values():
            _log.warning("engine_left_out", reason=reason)
        api = ExpertsApi(sandbox, names=[spec.name for spec in specs], max_in_flight=settings.max_in_flight)
        server = ExpertsServer(create_app(api), host=settings.host, port=settings.port, drain_s=settings.drain_seconds)
        await server.serve()
    finally:
        await sandbox.close()
        _log.info("experts_stopped")
