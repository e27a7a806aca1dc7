"""The process that owns a local stack: starts its components in parallel, restarts what crashes, ends all in order.

It runs in a session of its own and writes what it does into the stack's state file, which `up`, `status` and `down` read. A
component that ends before it was ready for the first time ends the stack: `up` shall fail and leave nothing behind. One that
ends later is started again, with a growing pause in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from kubefugu_cli.stack import guardian, probes, processes
from kubefugu_cli.stack.layout import StackLayout
from kubefugu_cli.stack.model import (
    Component,
    ComponentPhase,
    ComponentState,
    ProcessRef,
    StackPhase,
    StackPlan,
    StackState,
    read_document,
    write_document,
)

_log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Pauses:
    """Times of the supervisor, in seconds."""

    first_backoff_s: float = 0.2
    """Pause before the first restart; it doubles with each further one."""
    longest_backoff_s: float = 30.0
    """Upper bound of the pause."""
    calm_s: float = 60.0
    """After this long in readiness the pause begins at the first one again."""
    grace_s: float = 10.0
    """Between SIGTERM and SIGKILL."""


class StartupError(Exception):
    """A component that the stack needs did not come up."""

    def __init__(self, component: str, reason: str) -> None:
        super().__init__(f"{component} {reason}")
        self.component = component


@dataclass
class _Kept:
    """A component under care."""

    component: Component
    state: ComponentState
    first_ready: asyncio.Event = field(default_factory=asyncio.Event)
    process: asyncio.subprocess.Process | None = None


class Supervisor:
    """Keeps one stack. `run` returns when the stack has ended; it is used once."""

    def __init__(self, plan: StackPlan, layout: StackLayout, *, pauses: Pauses | None = None) -> None:
        self._plan = plan
        self._layout = layout
        self._pauses = pauses or Pauses()
        self._stop = asyncio.Event()
        self._guardian: asyncio.subprocess.Process | None = None
        self._kept = {
            one.name: _Kept(one, ComponentState(name=one.name, port=one.port, since=time.time())) for one in plan.components
        }
        self._state = StackState(
            name=plan.name,
            url=plan.url,
            pool=plan.pool,
            pool_name=plan.pool_name,
            supervisor=_self_reference(),
            started_at=time.time(),
            left_out=plan.left_out,
        )

    def stop(self) -> None:
        """Ask for an orderly end."""
        self._stop.set()

    async def run(self) -> StackState:
        """Start, keep, end. Returns the last state; its phase is STOPPED or FAILED."""
        await self._start_guardian()
        self._write()
        phase, message = StackPhase.STOPPED, ""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {name: group.create_task(self._keep(kept), name=name) for name, kept in self._kept.items()}
                ready = group.create_task(self._announce_ready())
                await self._stop.wait()
                ready.cancel()
                self._set_phase(StackPhase.STOPPING)
                await self._end_in_order(tasks)
        except* StartupError as failures:
            first = failures.exceptions[0]
            phase, message = StackPhase.FAILED, str(first)
        finally:
            await self._end_guardian()
        self._set_phase(phase, message)
        return self._state

    async def _announce_ready(self) -> None:
        for kept in self._kept.values():
            await kept.first_ready.wait()
        self._set_phase(StackPhase.READY)

    async def _end_in_order(self, tasks: dict[str, asyncio.Task[None]]) -> None:
        for tier in sorted({kept.component.tier for kept in self._kept.values()}, reverse=True):
            ending = [tasks[name] for name, kept in self._kept.items() if kept.component.tier == tier]
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)

    # One component

    async def _keep(self, kept: _Kept) -> None:
        for name in kept.component.after:
            await self._kept[name].first_ready.wait()
        failures = 0
        while True:
            ready_for_s = await self._run_once(kept)
            if not kept.first_ready.is_set():
                self._set(kept, ComponentPhase.FAILED)
                if kept.component.required:
                    raise StartupError(kept.component.name, kept.state.message)
                kept.first_ready.set()
                return
            failures = 1 if ready_for_s >= self._pauses.calm_s else failures + 1
            pause_s = min(self._pauses.longest_backoff_s, self._pauses.first_backoff_s * 2 ** (failures - 1))
            self._set(kept, ComponentPhase.RESTARTING, restarts=kept.state.restarts + 1)
            _log.warning("component_ended", component=kept.component.name, reason=kept.state.message, restart_in_s=pause_s)
            await asyncio.sleep(pause_s)

    async def _run_once(self, kept: _Kept) -> float:
        """One life of the process. Returns the seconds that it was ready; why it ended is the state's message."""
        component = kept.component
        started = time.monotonic()
        try:
            process = await self._spawn(component)
        except OSError as error:
            kept.state.message = f"could not be started: {error}."
            return 0.0
        kept.process = process
        ended = asyncio.create_task(process.wait())
        try:
            ref = processes.reference(process.pid)
            self._set(kept, ComponentPhase.STARTING, pid=process.pid, created=ref.created if ref else None)
            reason = await self._until_ready(component, ended)
            if reason:
                kept.state.message = reason
                return 0.0
            kept.state.started_s = kept.state.started_s or round(time.monotonic() - started, 3)
            kept.first_ready.set()
            self._set(kept, ComponentPhase.READY)
            _log.info("component_ready", component=component.name, pid=process.pid, took_s=round(time.monotonic() - started, 2))
            ready_at = time.monotonic()
            kept.state.message = describe_exit(await asyncio.shield(ended))
            return time.monotonic() - ready_at
        except asyncio.CancelledError:
            await self._terminate(process, ended)
            self._set(kept, ComponentPhase.STOPPED, pid=None)
            raise
        finally:
            if not ended.done():
                await self._terminate(process, ended)
            processes.kill_group(process.pid)
            await self._tell_guardian(f"-{process.pid}")
            kept.process, kept.state.pid, kept.state.created = None, None, None

    async def _until_ready(self, component: Component, ended: asyncio.Task[int]) -> str:
        """Wait for readiness; returns why it did not come, empty where it did."""
        ready = asyncio.create_task(probes.wait_ready(component.probe))
        try:
            await asyncio.wait({ready, ended}, timeout=component.ready_timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                return describe_exit(ended.result())
            if not ready.done():
                return f"was not ready within {component.ready_timeout_s:g} s."
            ready.result()
            return ""
        finally:
            ready.cancel()

    async def _spawn(self, component: Component) -> asyncio.subprocess.Process:
        with self._layout.log_file(component.name).open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *processes.own_child(component.argv),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **component.env},
                process_group=0,
            )
        await self._tell_guardian(f"+{process.pid}")
        return process

    async def _terminate(self, process: asyncio.subprocess.Process, ended: asyncio.Task[int]) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        done, _ = await asyncio.wait({ended}, timeout=self._pauses.grace_s)
        if not done:
            processes.kill_group(process.pid)
            await ended

    # Guardian and state

    async def _start_guardian(self) -> None:
        self._guardian = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", guardian.__file__, stdin=asyncio.subprocess.PIPE, start_new_session=True
        )
        self._state.guardian = processes.reference(self._guardian.pid)

    async def _tell_guardian(self, line: str) -> None:
        pipe = self._guardian.stdin if self._guardian else None
        if pipe is None:
            return
        try:
            pipe.write(f"{line}\n".encode())
            await pipe.drain()
        except ConnectionError:
            _log.warning("guardian_gone")
            self._guardian = None

    async def _end_guardian(self) -> None:
        if self._guardian is None:
            return
        watcher = self._guardian
        await self._tell_guardian("bye")
        if watcher.stdin:
            watcher.stdin.close()
        await watcher.wait()

    def _set(
        self,
        kept: _Kept,
        phase: ComponentPhase,
        *,
        pid: int | None = None,
        created: float | None = None,
        restarts: int | None = None,
        message: str | None = None,
    ) -> None:
        state = kept.state
        if phase is ComponentPhase.STARTING:
            state.pid, state.created = pid, created
        state.phase, state.since = phase, time.time()
        state.restarts = state.restarts if restarts is None else restarts
        state.message = state.message if message is None else message
        self._write()

    def _set_phase(self, phase: StackPhase, message: str = "") -> None:
        self._state.phase, self._state.message = phase, message
        _log.info("stack_phase", phase=str(phase), message=message)
        self._write()

    def _write(self) -> None:
        self._state.components = tuple(kept.state for kept in self._kept.values())
        write_document(self._layout.state_file, self._state)


def _self_reference() -> ProcessRef:
    ref = processes.reference(os.getpid())
    if ref is None:  # pragma: no cover - we are running
        raise RuntimeError("this process is not in the process table")
    return ref


def describe_exit(code: int) -> str:
    """A sentence's end for an exit status as subprocess gives it (negative: the signal)."""
    if code >= 0:
        return f"ended with exit code {code}."
    try:
        return f"was ended by {signal.Signals(-code).name}."
    except ValueError:
        return f"was ended by signal {-code}."


async def supervise(layout: StackLayout) -> StackState | None:
    """Run the plan of a stack's folder until SIGTERM or SIGINT. None: another supervisor holds the stack."""
    with layout.lock_file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        plan = read_document(layout.plan_file, StackPlan)
        if plan is None:
            raise FileNotFoundError(f"{layout.plan_file} is missing or unreadable")
        supervisor = Supervisor(plan, layout)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, supervisor.stop)
        return await supervisor.run()


def main() -> None:
    """`python -m kubefugu_cli.stack.supervisor FOLDER`: keep the stack of that folder."""
    from kubefugu_core.telemetry import configure_logging

    folder = Path(sys.argv[1])
    configure_logging(service="supervisor", fmt="console")
    state = asyncio.run(supervise(StackLayout(name=folder.name, root=folder)))
    sys.exit(0 if state is not None and state.phase is StackPhase.STOPPED else 1)


if __name__ == "__main__":
    main()
