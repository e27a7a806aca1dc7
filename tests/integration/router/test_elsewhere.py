"""Two routers behind one name: what one of them can't answer, the other does, within the caller's deadline."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry
from support.live_router import Client, Policies, policy_set, request, settings_for
from support.ports import free_port
from support.processes import service

from kubefugu.router.v1 import router_pb2, router_pb2_grpc
from kubefugu_core.errors import KubefuguError, OverloadedError
from kubefugu_core.rpc import open_channel
from kubefugu_router.main import running

ROUTE = "kubefugu.router.v1.RouterService/Route"


async def declare(client: Client, declared: router_pb2.PolicySet) -> None:
    """A router that takes one request at a time refuses the probe of a version while it checks its own liveness."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(OverloadedError):
                await client.declare(declared)
                return


async def test_a_full_queue_is_retried_elsewhere(tmp_path: Path, policies: Policies, backbone: Path) -> None:
    """One router takes one request at a time and is kept busy; calls that reach it go on to the other one."""
    source = policies.write("v1", best="beta")
    registries = [CollectorRegistry(), CollectorRegistry()]
    async with AsyncExitStack() as stack:
        ports = []
        for registry, queue in zip(registries, (1, 512), strict=True):
            settings = settings_for(backbone, tmp_path, listen="127.0.0.1:0", max_queue_requests=queue, max_step_tokens=4)
            server = await stack.enter_async_context(running(settings, registry=registry))
            ports.append(server.port)
            client = Client(f"127.0.0.1:{server.port}")
            stack.push_async_callback(client.close)
            await declare(client, policy_set(1, "v1", source))
        busy = Client(f"127.0.0.1:{ports[0]}")
        stack.push_async_callback(busy.close)

        async def keep_busy() -> None:
            while True:
                with contextlib.suppress(grpc.RpcError, KubefuguError):  # a short one may have been there first
                    await busy.route(request("many words in a long question " * 2000), timeout_s=60)

        blocker = asyncio.create_task(keep_busy())
        stack.callback(blocker.cancel)
        target = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
        channel = await stack.enter_async_context(open_channel(target, retried_methods=[ROUTE]))
        stub = router_pb2_grpc.RouterServiceStub(channel)
        answers = []
        refused = None
        async with asyncio.timeout(90):
            while not refused or len(answers) < 6:
                answers.append((await stub.Route(request(f"short {len(answers)}"), timeout=60)).decision.worker)
                refused = registries[0].get_sample_value("kubefugu_router_errors_total", {"reason": "OVERLOADED"})
        assert set(answers) == {"beta"}
        blocker.cancel()
        with pytest.raises(asyncio.CancelledError):
            await blocker


async def test_a_killed_router_is_retried_elsewhere(tmp_path: Path, policies: Policies, backbone: Path) -> None:
    """SIGKILL in the middle of a stream of requests: every one of them is answered."""
    source = policies.write("v1", best="gamma")
    port = free_port()
    environment = {
        "KUBEFUGU_HOME": str(tmp_path / "home"),
        "KUBEFUGU_ROUTER_ALLOWED_URI_PREFIXES": f'["{tmp_path.as_uri()}"]',
    }
    flags = ("--listen", f"127.0.0.1:{port}", "--backbone", str(backbone), "--threads", "1", "--device", "cpu")
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(
            running(settings_for(backbone, tmp_path, listen="127.0.0.1:0"), registry=CollectorRegistry())
        )
        doomed = await stack.enter_async_context(service("kubefugu_router", *flags, environment=environment))
        await doomed.wait_for("router_serving", timeout_s=60)
        for each in (port, other.port):
            client = Client(f"127.0.0.1:{each}")
            stack.push_async_callback(client.close)
            await client.declare(policy_set(1, "v1", source))
        channel = await stack.enter_async_context(
            open_channel(f"ipv4:127.0.0.1:{port},127.0.0.1:{other.port}", retried_methods=[ROUTE])
        )
        stub = router_pb2_grpc.RouterServiceStub(channel)
        answered = 0
        killed = asyncio.Event()

        async def caller(number: int) -> None:
            nonlocal answered
            after = 0
            while after < 5:
                text = f"{number} {answered} " + "words in a longer question " * 20
                decision: Any = (await stub.Route(request(text), timeout=60)).decision
                assert decision.worker == "gamma"
                answered += 1
                after += killed.is_set()

        async with asyncio.TaskGroup() as group:
            for number in range(6):
                group.create_task(caller(number))
            while answered < 12:
                await asyncio.sleep(0.005)
            os.kill(doomed.pid, signal.SIGKILL)
            await doomed.ended()
            killed.set()
        assert answered >= 12 + 6 * 5
