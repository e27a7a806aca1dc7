"""The real executor and the real gateway as processes, over a worker that answers on script."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import openai
import pytest
import pytest_asyncio
from support.pools import worker
from support.processes import Service, service
from support.upstream import Script, Upstream

ABLE = ["tools", "vision", "jsonMode", "jsonSchema", "logprobs"]


@dataclass(frozen=True)
class Stack:
    """What runs, and clients for it."""

    upstream: Upstream
    gateway: Service
    executor: Service
    url: str
    fresh: Iterator[str]
    """Names of workers that no test has failed yet, for tests whose worker does: a circuit that has opened stays open."""

    def client(self, **options: object) -> openai.OpenAI:
        """The SDK's own client; no retries, so that a test sees the first answer."""
        return openai.OpenAI(**{"base_url": f"{self.url}/v1", "api_key": "none", "max_retries": 0} | options)  # type: ignore[arg-type]

    def async_client(self, **options: object) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(**{"base_url": f"{self.url}/v1", "api_key": "none", "max_retries": 0} | options)  # type: ignore[arg-type]


async def ready(url: str, *services: Service) -> None:
    """Wait until the gateway says that requests can be answered."""

    def ask() -> bool:
        try:
            with urlopen(f"{url}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    async with asyncio.timeout(40):
        while not await asyncio.to_thread(ask):
            for running in services:
                assert running.returncode is None, "\n".join(running.lines)
            await asyncio.sleep(0.05)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder: Path = tmp_path_factory.mktemp("stack")
    async with Upstream() as upstream:
        able = worker("able", upstream.url, capabilities=ABLE)
        # A fallback worker, so that the executor is ready without a router: none of these requests needs one.
        plain = worker("plain", upstream.url, fallback=True)
        fresh = [f"fresh-{number}" for number in range(20)]
        absent = worker("absent", "http://127.0.0.1:9/v1")
        pool = {
            "apiVersion": "kubefugu.dev/v1alpha1",
            "kind": "WorkerPool",
            "metadata": {"name": "testpool"},
            "spec": {"workers": [able, plain, absent, *(worker(name, upstream.url) for name in fresh)]},
        }
        (folder / "pool.json").write_text(json.dumps(pool))
        target = f"unix:{folder / 'executor.sock'}"
        flags = ["--listen", target, "--pool-file", str(folder / "pool.json"), "--decisions-url", f"sqlite:///{folder}/d.db"]
        async with (
            service("kubefugu_executor", *flags) as executor,
            service("kubefugu_gateway", "--port", "0", "--executor-target", target) as gateway,
        ):
            port = (await gateway.wait_for("gateway_listening"))["port"]
            url = f"http://127.0.0.1:{port}"
            await ready(url, executor, gateway)
            yield Stack(upstream, gateway, executor, url, iter(fresh))


@pytest_asyncio.fixture(loop_scope="module")
async def stack(module_stack: Stack) -> Stack:
    """The module's stack with a worker that has seen nothing and answers as usual."""
    module_stack.upstream.requests.clear()
    module_stack.upstream._plan.clear()
    module_stack.upstream.default = Script(text="Hello from the worker.")
    return module_stack
