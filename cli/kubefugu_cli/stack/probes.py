"""Readiness probes. A probe answers yes or no; whatever goes wrong on the way is a no."""

from __future__ import annotations

import asyncio
import os

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kubefugu_cli.stack.model import Probe

_PROBE_TIMEOUT_S = 2.0


async def wait_ready(probe: Probe, *, interval_s: float = 0.1) -> None:
    """Ask until the answer is yes. The caller sets the timeout."""
    await (_wait_http(probe.target, interval_s) if probe.kind == "http" else _wait_grpc(probe.target, interval_s))


async def _wait_http(url: str, interval_s: float) -> None:
    # One client for all tries: making one loads the machine's certificates, which costs more than the probe.
    async with httpx.AsyncClient(timeout=_PROBE_TIMEOUT_S, trust_env=False) as client:
        while not await _http(client, url):  # noqa: ASYNC110 - the other side is a process
            await asyncio.sleep(interval_s)


async def _http(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


async def _wait_grpc(target: str, interval_s: float) -> None:
    while not await _grpc(target):  # noqa: ASYNC110 - the other side is a process
        await asyncio.sleep(interval_s)


async def _grpc(target: str) -> bool:
    """One try with a channel of its own: a channel that failed once waits longer and longer before it tries again."""
    if target.startswith("unix:") and not os.path.exists(target.removeprefix("unix:")):  # noqa: ASYNC240 - one stat
        return False
    request = health_pb2.HealthCheckRequest()
    async with grpc.aio.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            reply = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=_PROBE_TIMEOUT_S)
        except grpc.aio.AioRpcError:
            return False
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)
