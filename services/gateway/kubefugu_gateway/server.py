"""uvicorn, told how this gateway ends: no new connections, streams finish, and what outlives the grace gets an error event."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Generator
from types import FrameType

import structlog
import uvicorn

_log = structlog.get_logger()

_CLOSE = (b"connection", b"close")
_LAST_WORDS_S = 2
"""Seconds between the error events of a drain that took too long and the end of the connections."""


class GatewayServer(uvicorn.Server):
    """Drains on SIGTERM and SIGINT, and returns instead of dying of the signal.

    After SIGTERM whoever sends requests here may need a moment to learn that others answer now. For `linger_s` seconds new
    connections are still taken, and every response says that its connection ends, so that none ends under a request.
    """

    def __init__(self, config: uvicorn.Config, *, drain_s: float, linger_s: float, abort_all: Callable[[], None]) -> None:
        config.timeout_graceful_shutdown = int(drain_s) + _LAST_WORDS_S
        super().__init__(config)
        self._drain_s = drain_s
        self._linger_s = linger_s
        self._leaving = False
        self._abort_all = abort_all

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Stop at the first signal; uvicorn's own handlers would raise it again after the drain."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Leave after the lingering; a second signal, or Ctrl-C, ends it."""
        if sig != signal.SIGTERM or self._leaving or self._linger_s <= 0:
            super().handle_exit(sig, frame)
            return
        self._leaving = True
        _log.info("gateway_leaving", linger_s=self._linger_s)
        self.config.encoded_headers.append(_CLOSE)
        self.server_state.default_headers = [*self.server_state.default_headers, _CLOSE]
        asyncio.get_running_loop().call_later(self._linger_s, super().handle_exit, sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say where."""
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            _log.info("gateway_listening", host=host, port=port)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let requests in flight end within the grace."""
        _log.info("gateway_draining", connections=len(self.server_state.connections), drain_s=self._drain_s)
        expiry = asyncio.get_running_loop().call_later(self._drain_s, self._abort_all)
        try:
            await super().shutdown(sockets)
        finally:
            expiry.cancel()
