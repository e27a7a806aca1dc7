"""The supervisor with real processes: parallel start, restart with backoff, orderly and violent ends, nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs
from support.stacks import alive, component, is_up, plan, supervisor_process
from support.waiting import until

from kubefugu_cli.stack import processes
from kubefugu_cli.stack.layout import StackLayout
from kubefugu_cli.stack.model import Component, ComponentPhase, StackPhase, StackState, read_document
from kubefugu_cli.stack.supervisor import Pauses, Supervisor, describe_exit

_PAUSES = Pauses(first_backoff_s=0.05, longest_backoff_s=0.4, calm_s=60.0, grace_s=0.5)


@pytest.fixture
def layout(tmp_path: Path) -> StackLayout:
    made = StackLayout.of(tmp_path, "test")
    made.create()
    return made


def state_of(layout: StackLayout) -> StackState:
    state = read_document(layout.state_file, StackState)
    assert state is not None
    return state


def wait_until(condition: Callable[[], bool]) -> None:
    asyncio.run(until(condition))


@contextlib.asynccontextmanager
async def running(layout: StackLayout, *components: Component) -> AsyncIterator[asyncio.Task[StackState]]:
    supervisor = Supervisor(plan(*components), layout, pauses=_PAUSES)
    task = asyncio.create_task(supervisor.run())
    try:
        yield task
    finally:
        supervisor.stop()
        await asyncio.wait_for(task, 60)


def phase_of(layout: StackLayout, name: str) -> ComponentPhase | None:
    state = read_document(layout.state_file, StackState)
    one = state.component(name) if state else None
    return one.phase if one else None


async def test_components_start_and_end_in_the_order_of_their_tiers(layout: StackLayout) -> None:
    first = component("first", "--ready-after", "1")
    second = component("second", after=("first",), tier=1)
    async with running(layout, first, second):
        await until(lambda: phase_of(layout, "first") is ComponentPhase.STARTING)
        assert phase_of(layout, "second") is ComponentPhase.WAITING
        await until(lambda: is_up(layout))
        state = state_of(layout)
        pids = [one.pid for one in state.components]
        assert all(alive(pid) for pid in pids)
        assert [one.restarts for one in state.components] == [0, 0]
        assert all(one.started_s is not None for one in state.components)
    state = state_of(layout)
    assert state.phase is StackPhase.STOPPED
    assert not any(alive(pid) for pid in pids)
    ended = {one.name: one.since for one in state.components}
    assert ended["second"] < ended["first"]
    assert [one.phase for one in state.components] == [ComponentPhase.STOPPED] * 2


async def test_a_killed_component_is_restarted_and_counted(layout: StackLayout) -> None:
    one = component("one")
    async with running(layout, one):
        await until(lambda: is_up(layout))
        before = state_of(layout).components[0].pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        await until(lambda: state_of(layout).components[0].restarts == 1)
        await until(lambda: phase_of(layout, "one") is ComponentPhase.READY)
        after = state_of(layout).components[0]
        assert after.pid != before
        assert after.message == "was ended by SIGKILL."
        assert state_of(layout).phase is StackPhase.READY
        async with httpx.AsyncClient() as client:
            assert (await client.get(one.probe.target)).status_code == 200


async def test_the_pause_between_restarts_grows(layout: StackLayout) -> None:
    one = component("one")

    def pauses() -> list[float]:
        return [line["restart_in_s"] for line in logs if line["event"] == "component_ended"]

    async def crash(client: httpx.AsyncClient) -> None:
        before = len(pauses())
        await until(lambda: phase_of(layout, "one") is ComponentPhase.READY)
        with contextlib.suppress(httpx.HTTPError):
            await client.get(one.probe.target + "crash")
        await until(lambda: len(pauses()) > before)

    with capture_logs() as logs:
        async with running(layout, one), httpx.AsyncClient(timeout=60) as client:
            for _ in range(5):
                await crash(client)
            state = state_of(layout).components[0]
            assert (state.restarts, state.message) == (5, "ended with exit code 7.")
    assert pauses() == [0.05, 0.1, 0.2, 0.4, 0.4]


async def test_a_component_that_never_comes_up_ends_the_stack(layout: StackLayout) -> None:
    fine, bad = component("fine"), component("bad", "--exit-before-ready", "3", after=("fine",))
    supervisor = Supervisor(plan(fine, bad), layout, pauses=_PAUSES)
    state = await asyncio.wait_for(supervisor.run(), 60)
    assert state.phase is StackPhase.FAILED
    assert state.message == "bad ended with exit code 3."
    assert phase_of(layout, "bad") is ComponentPhase.FAILED
    assert "no such luck" in layout.log_file("bad").read_text()
    assert processes.port_is_free("127.0.0.1", fine.port or 0)


async def test_a_component_that_hangs_at_its_start_ends_the_stack(layout: StackLayout) -> None:
    slow = component("slow", "--ready-after", "600", ready_timeout_s=0.5)
    state = await asyncio.wait_for(Supervisor(plan(slow), layout, pauses=_PAUSES).run(), 60)
    assert (state.phase, state.message) == (StackPhase.FAILED, "slow was not ready within 0.5 s.")


async def test_a_command_that_does_not_exist_is_a_failure_and_no_hang(layout: StackLayout) -> None:
    absent = component("absent").model_copy(update={"argv": ("/no/such/program",)})
    state = await asyncio.wait_for(Supervisor(plan(absent), layout, pauses=_PAUSES).run(), 60)
    assert state.phase is StackPhase.FAILED
    assert "No such file" in layout.log_file("absent").read_text()


async def test_the_stack_goes_on_without_an_optional_component(layout: StackLayout) -> None:
    fine, bad = component("fine", after=("bad",)), component("bad", "--exit-before-ready", "3", required=False)
    async with running(layout, fine, bad):
        await until(lambda: is_up(layout))
        assert phase_of(layout, "bad") is ComponentPhase.FAILED
        assert phase_of(layout, "fine") is ComponentPhase.READY


async def test_a_component_that_ignores_sigterm_is_killed_with_its_own_children(layout: StackLayout, tmp_path: Path) -> None:
    note = tmp_path / "grandchild"
    async with running(layout, component("stubborn", "--ignore-sigterm", "--grandchild", str(note))):
        await until(lambda: is_up(layout))
        pids = [state_of(layout).components[0].pid, int(note.read_text())]
        assert all(alive(pid) for pid in pids)
    await until(lambda: not any(alive(pid) for pid in pids))


def test_nothing_survives_a_sigkill_of_the_supervisor(layout: StackLayout, tmp_path: Path) -> None:
    note = tmp_path / "grandchild"
    stack = plan(component("one", "--ignore-sigterm", "--grandchild", str(note)), component("two"))
    with supervisor_process(layout, stack) as supervisor:
        wait_until(lambda: is_up(layout))
        state = state_of(layout)
        assert state.guardian is not None
        pids = [one.pid for one in state.components] + [state.guardian.pid, int(note.read_text())]
        assert all(alive(pid) for pid in pids)
        supervisor.kill()
        supervisor.wait()
    wait_until(lambda: not any(alive(pid) for pid in pids))


def test_a_second_supervisor_does_not_touch_a_running_stack(layout: StackLayout) -> None:
    command = [sys.executable, "-m", "kubefugu_cli.stack.supervisor", str(layout.root)]
    with supervisor_process(layout, plan(component("one"))) as first:
        wait_until(lambda: is_up(layout))
        before = state_of(layout)
        second = subprocess.run(command, stderr=subprocess.DEVNULL, timeout=30, check=False)
        assert second.returncode == 1
        assert state_of(layout) == before
        first.terminate()
        assert first.wait(20) == 0
    assert state_of(layout).phase is StackPhase.STOPPED


def test_exit_statuses_are_told_in_words() -> None:
    assert describe_exit(0) == "ended with exit code 0."
    assert describe_exit(-9) == "was ended by SIGKILL."
    assert describe_exit(-250) == "was ended by signal 250."
