"""The in-process host under pressure: deadlines, full queue, callers that hang up, long beside short, drain, restart."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.live_router import Client, Policies, policy_set, refusal, request, router, settings_for
from support.ports import free_port
from support.processes import service
from support.waiting import until

from kubefugu_core.errors import DeadlineExceededError, InternalError, OverloadedError, UnavailableError
from kubefugu_router.domain.ports import Question, StagedPolicy
from kubefugu_router.hosts.inprocess import InProcessHost
from kubefugu_routing.backbone import load_backbone
from kubefugu_routing.engine import Engine
from kubefugu_routing.policy import bind, load_artifact


class Told:
    """Notes what a host tells."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []
        self.queued = 0

    def step(self, *, sequences: int, tokens: int, seconds: float) -> None:
        self.steps.append((sequences, tokens))

    def queue(self, *, requests: int) -> None:
        self.queued = requests

    def finished(self, *, computed_tokens: int, cached_tokens: int, cache_bytes: int) -> None:
        pass


class Gate:
    """Holds an engine's steps back until it is opened."""

    def __init__(self, engine: Engine) -> None:
        self._step, self.open = engine.step, threading.Event()
        self.entered = threading.Event()
        engine.step = self._gated  # type: ignore[method-assign]

    def _gated(self, parts: Any) -> None:
        self.entered.set()
        assert self.open.wait(60)
        self._step(parts)


@pytest.fixture
async def hosted(policies: Policies, backbone: Path) -> Any:
    """A started host with one policy, its observer, and a gate that is closed."""
    engine = Engine(load_backbone(str(backbone), threads=1))
    gate, told = Gate(engine), Told()
    host = InProcessHost(engine, lambda _: pytest.fail("no bundle"), told, max_queue_requests=4, max_step_tokens=64)
    policies.write("v1")
    path = policies.folder / "v1.safetensors"
    await host.start()
    await host.load(StagedPolicy("v1", "0" * 64, path, bind(load_artifact(path), host.info)))
    yield host, told, gate
    gate.open.set()
    await host.close()


def question(length: int = 10, *, timeout_s: float = 60.0, start: int = 0) -> Question:
    return Question([(start + i) % 500 for i in range(length)], ("v1",), time.monotonic() + timeout_s)


async def test_batches_form_while_the_engine_is_busy(hosted: Any) -> None:
    host, told, gate = hosted
    first = asyncio.create_task(host.decide(question()))
    await asyncio.to_thread(gate.entered.wait, 60)
    rest = [asyncio.create_task(host.decide(question(start=i))) for i in (20, 40, 60)]
    await until(lambda: told.queued == 4, what="three more wait")
    gate.open.set()
    await asyncio.gather(first, *rest)
    assert [sequences for sequences, _ in told.steps] == [1, 3]


async def test_a_full_queue_refuses_at_once(hosted: Any) -> None:
    host, told, gate = hosted
    waiting = [asyncio.create_task(host.decide(question(start=i))) for i in range(4)]
    await until(lambda: told.queued == 4, what="the queue is full")
    error = await refusal(host.decide(question()))
    assert isinstance(error, OverloadedError)
    gate.open.set()
    await asyncio.gather(*waiting)
    await host.decide(question())


async def test_a_deadline_ends_the_wait_and_the_work(hosted: Any) -> None:
    host, told, gate = hosted
    blocker = asyncio.create_task(host.decide(question()))
    await asyncio.to_thread(gate.entered.wait, 60)
    error = await refusal(host.decide(question(timeout_s=0.2, start=9)))
    assert isinstance(error, DeadlineExceededError)
    assert not blocker.done(), "it ended while the engine was still busy"
    gate.open.set()
    await blocker
    await until(lambda: told.queued == 0, what="the queue is empty")
    assert told.steps == [(1, 9)], "nothing was computed for who had gone"


async def test_a_cancelled_request_is_dropped(hosted: Any) -> None:
    host, told, gate = hosted
    blocker = asyncio.create_task(host.decide(question()))
    await asyncio.to_thread(gate.entered.wait, 60)
    gone = asyncio.create_task(host.decide(question(start=9)))
    await until(lambda: told.queued == 2, what="it waits")
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    gate.open.set()
    await blocker
    await until(lambda: told.queued == 0, what="the queue is empty")
    assert told.steps == [(1, 9)]


async def test_a_long_transcript_does_not_stall_short_ones(hosted: Any) -> None:
    host, _, gate = hosted
    order: list[str] = []

    async def ask(name: str, length: int, start: int) -> None:
        await host.decide(question(length, start=start))
        order.append(name)

    tasks = [asyncio.create_task(ask("long", 600, 0))]
    await asyncio.to_thread(gate.entered.wait, 60)
    tasks += [asyncio.create_task(ask("short", 10, 7 * i)) for i in range(3)]
    gate.open.set()
    await asyncio.gather(*tasks)
    assert order == ["short", "short", "short", "long"]


async def test_a_failing_step_fails_its_requests_and_not_the_host(hosted: Any) -> None:
    host, _, gate = hosted
    gate.open.set()
    working = host.engine.step
    host.engine.step = lambda _: (_ for _ in ()).throw(RuntimeError("device lost"))
    error = await refusal(host.decide(question()))
    assert isinstance(error, InternalError)
    assert "device lost" not in error.message
    assert isinstance(await refusal(host.pulse(timeout_s=30)), InternalError)
    host.engine.step = working
    await host.pulse(timeout_s=30)
    await host.decide(question())


async def test_a_token_that_the_backbone_lacks_is_refused_before_it_reaches_others(hosted: Any) -> None:
    host, _, gate = hosted
    gate.open.set()
    assert isinstance(await refusal(host.decide(Question([1, 2, 99_999], ("v1",), time.monotonic() + 60))), InternalError)


async def test_closing_fails_who_still_waits(hosted: Any) -> None:
    host, told, gate = hosted
    first = asyncio.create_task(host.decide(question()))
    await asyncio.to_thread(gate.entered.wait, 60)
    second = asyncio.create_task(host.decide(question(start=9)))
    await until(lambda: told.queued == 2, what="it waits")
    closing = asyncio.create_task(host.close())
    await until(lambda: host._closed, what="closing began")
    gate.open.set()
    await closing
    await first
    assert isinstance(await refusal(second), UnavailableError)
    assert isinstance(await refusal(host.decide(question())), UnavailableError)


async def test_a_caller_that_hangs_up_frees_the_queue(tmp_path: Path, policies: Policies, backbone: Path) -> None:
    async with router(settings_for(backbone, tmp_path, max_queue_requests=3, max_step_tokens=16)) as client:
        await client.declare(policy_set(1, "v1", policies.write("v1")))
        text = "many words in a long question " * 300
        callers = [asyncio.create_task(client.route(request(f"{i} {text}"))) for i in range(3)]
        refused: list[Any] = []

        async def poke() -> None:
            while not (refused and isinstance(refused[-1], OverloadedError)):
                try:
                    refused.append(await client.route(request("short")))
                except (OverloadedError, DeadlineExceededError) as error:
                    refused.append(error)

        await asyncio.wait_for(poke(), 50)
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)

        async def answered() -> Any:
            while True:
                try:
                    return await client.route(request("short"))
                except OverloadedError:
                    continue

        assert (await asyncio.wait_for(answered(), 50)).policy_version == "v1"


async def test_a_call_s_deadline_is_kept(tmp_path: Path, policies: Policies, backbone: Path) -> None:
    async with router(settings_for(backbone, tmp_path, max_step_tokens=2)) as client:
        await client.declare(policy_set(1, "v1", policies.write("v1")))
        error = await refusal(client.route(request("so many words " * 3000), timeout_s=0.3))
        assert isinstance(error, DeadlineExceededError)
        await client.route()


async def test_health_falls_when_the_engine_dies_and_comes_back(tmp_path: Path, policies: Policies, backbone: Path) -> None:
    from kubefugu_routing.engine import engine as module

    broken = threading.Event()
    original: Callable[..., None] = module.Engine.step

    def step(self: Engine, parts: Any) -> None:
        if broken.is_set():
            raise RuntimeError("device lost")
        original(self, parts)

    module.Engine.step = step  # type: ignore[method-assign]
    try:
        async with router(settings_for(backbone, tmp_path, pulse_seconds=0.05)) as client:
            await client.declare(policy_set(1, "v1", policies.write("v1")))
            await client.until_serving()
            assert await client.serving("live")
            broken.set()
            async with asyncio.timeout(50):
                while await client.serving():
                    pass
                # A restart might help only when it goes on.
                while await client.serving("live"):
                    pass
            broken.clear()
            await client.until_serving()
            assert await client.serving("live")
            await client.route()
    finally:
        module.Engine.step = original  # type: ignore[method-assign]


async def test_as_a_process_it_serves_drains_and_survives_a_kill(tmp_path: Path, policies: Policies, backbone: Path) -> None:
    """`python -m kubefugu_router` as users start it: metrics, SIGKILL, restart with the same policies, SIGTERM drains."""
    port, socket = free_port(), f"unix:{tmp_path / 'r.sock'}"
    environment = {
        "KUBEFUGU_HOME": str(tmp_path / "home"),
        "KUBEFUGU_ROUTER_STATE_DIR": str(tmp_path / "state"),
        "KUBEFUGU_ROUTER_ALLOWED_URI_PREFIXES": f'["{tmp_path.as_uri()}"]',
        "KUBEFUGU_ROUTER_METRICS_PORT": str(port),
        "KUBEFUGU_ROUTER_MAX_STEP_TOKENS": "64",
    }
    flags = ("--listen", socket, "--backbone", str(backbone), "--threads", "1")
    client = Client(socket)
    async with service("kubefugu_router", *flags, environment=environment) as first:
        await first.wait_for("router_serving", timeout_s=60)
        await client.declare(policy_set(7, "v1", policies.write("v1", best="beta", offsets=True)))
        assert (await client.route()).worker == "beta"
        os.kill(first.pid, signal.SIGKILL)
        await first.ended()
        error = await refusal(client.route(timeout_s=5))
        assert isinstance(error, UnavailableError)
    for path in policies.folder.iterdir():
        path.unlink()
    async with service("kubefugu_router", *flags, environment=environment) as second:
        await second.wait_for("router_serving", timeout_s=60)
        await client.until_serving()
        decision = await client.route()
        assert (decision.worker, decision.policy_version) == ("beta", "v1")
        async with httpx.AsyncClient() as http:
            text = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
        for line in (
            'kubefugu_router_decisions_total{kind="active",policy_version="v1"} 1.0',
            "kubefugu_router_policy_generation 7.0",
            'kubefugu_router_policy_state{policy_version="v1",state="active"} 1.0',
            'kubefugu_router_stage_seconds_count{stage="engine"} 1.0',
            "kubefugu_router_queue_requests 0.0",
        ):
            assert line in text, line
        # A request in flight at SIGTERM is still answered.
        slow = asyncio.create_task(client.route(request("quite a long question " * 200)))
        await until(lambda: not slow.done(), what="it is on its way")
        while True:
            async with httpx.AsyncClient() as http:
                if "kubefugu_router_queue_requests 1.0" in (await http.get(f"http://127.0.0.1:{port}/metrics")).text:
                    break
            if slow.done():
                break
        second.terminate()
        assert (await slow).worker == "beta"
        assert await second.ended() == 0
        secrets = [line for line in second.lines if "long question" in line]
        assert secrets == [], "transcripts are not logged"
    await client.close()
