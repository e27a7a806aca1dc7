"""Composition root: settings -> keys, executor client, endpoints -> server."""

from __future__ import annotations

import asyncio
import sys

import structlog
import uvicorn
import uvloop
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, ProcessCollector
from pydantic import ValidationError
from pydantic_settings import CliApp

from kubefugu_core.errors import DataError
from kubefugu_core.telemetry import configure_logging, serve_metrics
from kubefugu_gateway.app import create_app
from kubefugu_gateway.auth import Authenticator
from kubefugu_gateway.chat import ChatCompletions
from kubefugu_gateway.executor import Executor, GrpcExecutor
from kubefugu_gateway.keys import KeyFile
from kubefugu_gateway.metrics import GatewayMetrics
from kubefugu_gateway.server import GatewayServer
from kubefugu_gateway.settings import GatewaySettings

_log = structlog.get_logger()


def main() -> None:
    """Entry point of `kubefugu-gateway`."""
    try:
        settings = CliApp.run(GatewaySettings)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors())
        sys.exit(f"kubefugu-gateway: {problems}")
    configure_logging(service="gateway", level=settings.log_level, fmt=settings.log_format)
    try:
        authenticator = make_authenticator(settings)
    except DataError as error:
        sys.exit(f"kubefugu-gateway: {error.message}")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, authenticator))


def make_authenticator(settings: GatewaySettings) -> Authenticator:
    """Who may call. Raises DataError where keys are needed and none are given."""
    if not settings.keys_needed:
        return Authenticator(None)
    if settings.api_keys_file is None:
        raise DataError(
            f"{settings.host} is reachable from other machines, and there are no API keys: set api_keys_file, "
            "listen on 127.0.0.1, or say require_keys=never."
            if settings.require_keys == "auto"
            else "require_keys=always needs api_keys_file.",
            field="api_keys_file",
        )
    return Authenticator(KeyFile(settings.api_keys_file))


def wire(settings: GatewaySettings, authenticator: Authenticator, executor: Executor) -> tuple[FastAPI, ChatCompletions]:
    """The application over an executor, and the endpoint whose requests a drain ends."""
    metrics = GatewayMetrics(CollectorRegistry())
    ProcessCollector(registry=metrics.registry)
    chat = ChatCompletions(
        executor=executor,
        authenticator=authenticator,
        metrics=metrics,
        limits=settings.limits,
        request_timeout_s=settings.request_timeout_seconds,
        body_timeout_s=settings.body_timeout_seconds,
        max_in_flight=settings.max_in_flight,
    )
    app = create_app(chat=chat, executor=executor, authenticator=authenticator, metrics=metrics, docs=settings.docs)
    return app, chat


def make_server(settings: GatewaySettings, app: FastAPI, chat: ChatCompletions) -> GatewayServer:
    """The HTTP server."""
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.keep_alive_seconds,
    )
    return GatewayServer(config, drain_s=settings.drain_seconds, linger_s=settings.linger_s, abort_all=chat.abort_all)


async def serve(settings: GatewaySettings, authenticator: Authenticator) -> None:
    """Serve until SIGTERM or SIGINT, then drain."""
    executor = GrpcExecutor(settings.executor_target)
    app, chat = wire(settings, authenticator, executor)
    if settings.metrics_port:
        serve_metrics(settings.metrics_port, registry=chat.metrics.registry)
    try:
        await make_server(settings, app, chat).serve()
    finally:
        await executor.close()
        _log.info("gateway_stopped")
