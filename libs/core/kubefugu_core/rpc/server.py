"""One way to host a gRPC service: health per service name, reflection as a switch, interceptors, drain on SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from kubefugu_core.rpc.interceptors import ErrorInterceptor

MAX_MESSAGE_BYTES = 32 * 1024 * 1024
"""Largest message either way; a request body with images is the largest there is."""

_OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_connection_age_ms", 5 * 60 * 1000),
    ("grpc.max_connection_age_grace_ms", 10 * 60 * 1000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.so_reuseport", 0),
]


class RpcServer:
    """A grpc.aio server with the health service. Register servicers on `.grpc`, then `start` or `run`.

    `services` are the full names that health reports; they begin as NOT_SERVING and change by `set_serving`.
    """

    def __init__(
        self,
        address: str,
        *,
        services: Sequence[str],
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        with_reflection: bool = False,
    ) -> None:
        self.address = address
        self._services = tuple(services)
        # The error interceptor comes first, so that it also sees what the others raise.
        self.grpc = grpc.aio.server(interceptors=[ErrorInterceptor(), *interceptors], options=_OPTIONS)
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.grpc)
        if with_reflection:
            reflection.enable_server_reflection((*services, health.SERVICE_NAME, reflection.SERVICE_NAME), self.grpc)
        self.port = self.grpc.add_insecure_port(address)

    async def start(self) -> None:
        """Listen. Health stays NOT_SERVING until `set_serving(True)`."""
        await self.set_serving(False)
        await self.grpc.start()

    async def set_serving(self, serving: bool) -> None:
        """Report SERVING or NOT_SERVING for every service name and for the server as a whole."""
        kind = health_pb2.HealthCheckResponse
        status = kind.SERVING if serving else kind.NOT_SERVING
        for name in ("", *self._services):
            await self._health.set(name, status)

    async def set_named(self, name: str, serving: bool) -> None:
        """Report for one name more, e.g. one that a liveness probe asks for."""
        kind = health_pb2.HealthCheckResponse
        await self._health.set(name, kind.SERVING if serving else kind.NOT_SERVING)

    async def stop(self, grace_s: float) -> None:
        """NOT_SERVING first, then let calls in flight end within `grace_s` seconds."""
        await self._health.enter_graceful_shutdown()
        await self.grpc.stop(grace_s)

    async def run_until_signal(self, *, drain_s: float) -> None:
        """Wait for SIGTERM or SIGINT, then drain."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await stop.wait()
        await self.stop(drain_s)
