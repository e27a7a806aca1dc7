"""One gateway in front of one scripted executor for each module of tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest_asyncio
from support.executor import ScriptedExecutor, say_hello, scripted_executor
from support.gateway import Gateway, running_gateway


@dataclass(frozen=True)
class Rig:
    """A client, the gateway that it talks to and the executor behind."""

    client: httpx.AsyncClient
    gateway: Gateway
    executor: ScriptedExecutor


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_rig() -> AsyncIterator[Rig]:
    async with (
        scripted_executor(say_hello) as (executor, target),
        running_gateway(target) as gateway,
        httpx.AsyncClient(base_url=gateway.url, timeout=60) as client,
    ):
        yield Rig(client, gateway, executor)


@pytest_asyncio.fixture(loop_scope="module")
async def rig(module_rig: Rig) -> Rig:
    """The module's rig with an executor that has seen nothing yet and says hello."""
    executor = module_rig.executor
    executor.script = say_hello
    executor.requests.clear()
    executor.remaining_s.clear()
    executor.started.clear()
    executor.cancelled.clear()
    return module_rig
