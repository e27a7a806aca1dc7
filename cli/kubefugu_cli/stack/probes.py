"""Readiness probes. A probe answers yes or no; whatever goes wrong on the way is a no."""

from __future__ import annotations

import asyncio
import os

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kubefugu_cli.stack.model import Probe

_PROBE_TIMEOUT_S = 2.0


async def is_ready(probe: Probe) -> bool:
    """Ask once."""
    return await (_http(probe.target) if probe.kind == "http" else _grpc(probe.target))


async def _http(url: str) -> bool:
    try:
        async with httpx.AsyncClient(timeout=_PROBE_TIMEOUT_S, trust_env=False) as client:
            return (await client.get(url)).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


async def _grpc(target: str) -> bool:
    if target.startswith("unix:") and not os.path.exists(target.removeprefix("unix:")):  # noqa: ASYNC240 - one stat
        return False
    request = health_pb2.HealthCheckRequest()
    async with grpc.aio.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            reply = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=_PROBE_TIMEOUT_S)
        except grpc.aio.AioRpcError:
            return False
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)


async def wait_ready(probe: Probe, *, interval_s: float = 0.05) -> None:
    """Ask until the answer is yes. The caller sets the timeout."""
    while not await is_ready(probe):  # noqa: ASYNC110 - the other side is a process
        await asyncio.sleep(interval_s)
