"""The gateway, in the test's own event loop (its real wiring, on a real socket) or as a process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from kubefugu_gateway.auth import Authenticator
from kubefugu_gateway.chat import ChatCompletions
from kubefugu_gateway.executor import GrpcExecutor
from kubefugu_gateway.main import make_server, wire
from kubefugu_gateway.settings import GatewaySettings
from support.waiting import until


@dataclass(frozen=True)
class Gateway:
    """A running gateway."""

    port: int
    app: FastAPI
    chat: ChatCompletions

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def running_gateway(
    target: str, *, authenticator: Authenticator | None = None, **settings: Any
) -> AsyncIterator[Gateway]:
    """Serve on a free port until the block ends."""
    config = GatewaySettings(port=0, executor_target=target, drain_seconds=0.2, **settings)
    executor = GrpcExecutor(target)
    app, chat = wire(config, authenticator or Authenticator(None), executor)
    server = make_server(config, app, chat)
    task = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started, what="the gateway listens")
        yield Gateway(server.servers[0].sockets[0].getsockname()[1], app, chat)
    finally:
        server.should_exit = True
        await task
        await executor.close()
