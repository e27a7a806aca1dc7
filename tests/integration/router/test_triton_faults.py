"""A router service whose Triton server dies, loses its process or is full: a retryable error in time, never a hang."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.live_router import Client, Policies, policy_set, refusal, request, router, settings_for
from support.triton import REPOSITORY, Staged, Triton, triton, with_queue
from support.waiting import until

from kubefugu_core.errors import ArtifactRefusedError, OverloadedError, UnavailableError
from kubefugu_router.settings import RouterSettings
from kubefugu_router.triton_probe import alive

DEADLINE_S = 8.0


def environment(backbone: Path, stage: Path) -> dict[str, str]:
    return {
        "KUBEFUGU_HOME": str(stage.parent / "home"),
        "KUBEFUGU_TRITON_BACKBONE": str(backbone),
        "KUBEFUGU_TRITON_STAGE_DIR": str(stage),
        "KUBEFUGU_TRITON_KV_CACHE_MIB": "0",
        "KUBEFUGU_TRITON_MAX_STEP_TOKENS": "8",
    }


def triton_settings(backbone: Path, folder: Path, server: Triton, stage: Path, **changes: Any) -> RouterSettings:
    return settings_for(
        backbone, folder, host="triton", triton_target=server.target, triton_stage_dir=stage, pulse_seconds=0.1, **changes
    )


async def eventually(call: Callable[[], Any], *, what: str, timeout_s: float = 60.0) -> None:
    """Call until it is true."""
    try:
        async with asyncio.timeout(timeout_s):
            while not await call():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {timeout_s:g} s: {what}") from None


async def not_serving(client: Client) -> bool:
    return not await client.serving()


async def all_end_in_time(client: Client, kill: Callable[[], None]) -> list[BaseException]:
    """Slow requests on their way when `kill` strikes; what they raised, DeadlineExceededError where one was left hanging."""
    slow = [request(f"{i} " + "many words in a long question " * 60) for i in range(4)]
    tasks = [asyncio.create_task(client.route(one, timeout_s=DEADLINE_S)) for one in slow]
    await asyncio.sleep(0.05)  # on their way; whether one is answered before the kill makes no difference
    kill()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    return [one for one in ended if isinstance(one, BaseException)]


async def test_a_killed_server_is_told_and_its_successor_serves_again(
    policies: Policies, backbone: Path, tmp_path: Path
) -> None:
    stage = tmp_path / "stage"
    env = environment(backbone, stage)
    with triton(tmp_path / "first", env) as server:
        async with router(triton_settings(backbone, tmp_path, server, stage)) as client:
            await client.declare(policy_set(1, "v1", policies.write("v1", best="beta", offsets=True)))
            await client.until_serving()
            before = await client.route()
            errors = await all_end_in_time(client, lambda: os.killpg(server.process.pid, signal.SIGKILL))
            assert all(isinstance(error, UnavailableError) for error in errors), errors
            assert isinstance(await refusal(client.route(timeout_s=DEADLINE_S)), UnavailableError)
            await eventually(lambda: not_serving(client), what="health falls")
            server.process.wait(10)
            ports = (server.grpc_port, server.http_port, server.metrics_port)
            with triton(tmp_path / "second", env, ports=ports):
                await client.until_serving(timeout_s=60)
                after = await client.route()
            assert (after.worker, after.policy_version) == (before.worker, "v1")
            assert [w.logit for w in after.workers] == pytest.approx([w.logit for w in before.workers], abs=1e-5)


async def test_a_full_queue_refuses_at_once_and_a_dead_process_is_told(
    policies: Policies, backbone: Path, tmp_path: Path
) -> None:
    stage = tmp_path / "stage"
    repository = with_queue(REPOSITORY, 2, tmp_path / "repository")
    with triton(tmp_path / "server", environment(backbone, stage), repository=repository) as server:
        async with router(triton_settings(backbone, tmp_path, server, stage)) as client:
            await client.declare(policy_set(1, "v1", policies.write("v1", best="beta")))
            await client.until_serving()
            # Triton's own queue: two wait, whatever else comes is refused, and nobody hangs.
            text = "many words in a long question " * 30
            ended = await asyncio.gather(
                *(client.route(request(f"{i} {text}"), timeout_s=DEADLINE_S) for i in range(40)), return_exceptions=True
            )
            refused = [one for one in ended if isinstance(one, OverloadedError)]
            assert refused
            assert await client.serving(), "busy, not dead"
            assert len(refused) + sum(not isinstance(one, BaseException) for one in ended) == 40
            assert alive(http_port=server.http_port, timeout_s=5) == ""
            assert (await client.route()).worker == "beta"

            def kill() -> None:
                for pid in server.stub_pids():
                    os.kill(pid, signal.SIGKILL)

            errors = await all_end_in_time(client, kill)
            assert all(isinstance(error, UnavailableError) for error in errors), errors
            assert isinstance(await refusal(client.route(timeout_s=DEADLINE_S)), UnavailableError)
            await eventually(lambda: not_serving(client), what="health falls")
            # The server goes on saying that it is ready: only an inference tells.
            async with httpx.AsyncClient() as http:
                ready = await http.get(f"http://127.0.0.1:{server.http_port}/v2/models/router/ready")
            assert ready.status_code == 200
            assert await asyncio.to_thread(lambda: alive(http_port=server.http_port, timeout_s=5)) != ""


async def test_the_service_bounds_its_queue_and_forgets_who_hung_up(
    policies: Policies, backbone: Path, tmp_path: Path, triton_server: Staged
) -> None:
    settings = triton_settings(backbone, tmp_path, triton_server.server, triton_server.folder, max_queue_requests=3)
    async with router(settings) as client:
        await client.declare(policy_set(1, "v1", policies.write("v1", best="beta")))
        callers: list[asyncio.Task[Any]] = []
        overloaded: list[Any] = []

        async def fill() -> bool:
            while sum(not caller.done() for caller in callers) < 6:
                text = f"{len(callers)} " + "many words in a long question " * 30
                callers.append(asyncio.create_task(client.route(request(text))))
            await asyncio.wait(callers, return_when=asyncio.FIRST_COMPLETED)
            overloaded.extend(c.exception() for c in callers if c.done() and not c.cancelled() and c.exception())
            return bool(overloaded)

        await eventually(fill, what="the queue is full")
        assert all(isinstance(error, OverloadedError) for error in overloaded)
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)

        async def answered() -> bool:
            try:
                return bool((await client.route(request("short"))).worker == "beta")
            except OverloadedError:
                return False

        await eventually(answered, what="who hung up is forgotten")


async def test_a_transcript_of_a_megabyte_is_cut_and_says_so(
    policies: Policies, backbone: Path, tmp_path: Path, triton_server: Staged
) -> None:
    settings = triton_settings(backbone, tmp_path, triton_server.server, triton_server.folder, max_input_tokens=1000)
    async with router(settings) as client:
        await client.declare(policy_set(1, "v1", policies.write("v1")))
        decision = await client.route(request("ab " * 350_000))
        assert (decision.input_tokens, decision.truncated) == (1000, True)
        assert decision.dropped_tokens > 300_000
        assert decision.cached_tokens == 0, "pieces of the same request are no reuse"
        assert (await client.route(request("ab " * 350_000))).cached_tokens > 900


@pytest.mark.parametrize("change", ["backbone", "truncated"])
async def test_a_poisoned_artifact_leaves_the_old_one_serving(
    policies: Policies, backbone: Path, tmp_path: Path, triton_server: Staged, change: str
) -> None:
    settings = triton_settings(backbone, tmp_path, triton_server.server, triton_server.folder)
    bad = policies.write("bad", **({"backbone_revision": "0" * 64} if change == "backbone" else {}))
    if change == "truncated":
        path = policies.folder / "bad.safetensors"
        path.write_bytes(path.read_bytes()[:200])
    async with router(settings) as client:
        await client.declare(policy_set(1, "good", policies.write("good", best="gamma")))
        assert isinstance(await refusal(client.declare(policy_set(2, "bad", bad))), ArtifactRefusedError)
        assert (await client.route()).worker == "gamma"
        assert await client.states() == {"good": "active", "bad": "refused"}


async def test_what_an_earlier_run_staged_is_gone(
    policies: Policies, backbone: Path, tmp_path: Path, triton_server: Staged
) -> None:
    """A router that was killed can't tidy up; its successor does."""
    settings = triton_settings(backbone, tmp_path, triton_server.server, triton_server.folder)
    async with router(settings) as client:
        await client.declare(policy_set(1, "v1", policies.write("v1", seed=1)))
    left = {path.name for path in (triton_server.folder / "policies").glob("*.safetensors")}
    assert left, "as after a kill: nothing was taken away"
    async with router(settings) as client:
        source = policies.write("v2", seed=2)
        await client.declare(policy_set(1, "v2", source))
        await until(
            lambda: [path.stem for path in (triton_server.folder / "policies").glob("*.safetensors")] == [source.sha256],
            what="only what is declared is staged",
        )
        assert (await client.route()).policy_version == "v2"
