"""What `kubefugu up` does: prepare, start the supervisor, watch until everything is ready, ask one question."""

from __future__ import annotations

import contextlib
import fcntl
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kubefugu_cli.console import age, err, fail, note, out
from kubefugu_cli.pools import find_pool_file
from kubefugu_cli.stack import processes, stop
from kubefugu_cli.stack.display import StartDisplay
from kubefugu_cli.stack.experts import leave_out, left_out_workers
from kubefugu_cli.stack.first_answer import ask_first
from kubefugu_cli.stack.layout import DEFAULT_NAME, StackLayout
from kubefugu_cli.stack.model import ComponentPhase, StackPhase, StackState, read_document
from kubefugu_cli.stack.plan import EXPERTS, HOST
from kubefugu_cli.stack.prepare import prepare
from kubefugu_cli.stack.refused import RefusalWatch
from kubefugu_cli.stack.running import running_state
from kubefugu_core.errors import ArtifactRefusedError

_DEFAULT_PORT = 8080
_POLL_S = 0.05
_SHOWN_LOG_LINES = 15
_INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True)
class UpOptions:
    """The command line of `up`."""

    pool: str | None
    """File or ready pool; None: the default pool."""
    port: int
    foreground: bool
    question: str
    """Empty: nothing is asked."""
    head: Path | None
    """Head artifact; None: the pool's own."""
    backbone: str
    """Of the router."""
    name: str
    """Of the stack."""


def up_stack(options: UpOptions, *, home: Path) -> int:
    """Start a stack; returns the exit code. Raises the errors of the core's tree for what the user can mend."""
    layout = StackLayout.of(home, options.name)
    with _stopped_by_signals(), contextlib.ExitStack() as held:
        held.enter_context(_one_at_a_time(layout))
        state = running_state(layout)
        if state is not None:
            return _already_running(state, options)
        _prepare(layout, options)
        supervisor = _start_supervisor(layout, foreground=options.foreground)
        try:
            state = _watch_or_end(layout, supervisor)
            if state is None:
                return 1
            held.close()
            return _stay(state, supervisor, options)
        except KeyboardInterrupt:
            note("\nending the stack")
            end_stack(layout, supervisor)
            return 0 if options.foreground else _INTERRUPTED


@contextlib.contextmanager
def _one_at_a_time(layout: StackLayout) -> Iterator[None]:
    """Two `up` of the same stack: the second one waits until the first one is done, and then sees what runs."""
    layout.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (layout.root / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note("Another `kubefugu up` is starting this stack; waiting for it.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _prepare(layout: StackLayout, options: UpOptions) -> None:
    pool_file = find_pool_file(options.pool)
    if not processes.port_is_free(HOST, options.port):
        who = processes.listener_of(options.port)
        fail(
            f"Port {options.port} is in use{f' by {who}' if who else ''}. "
            "Choose another one: `kubefugu up --port N` (make up PORT=N)."
        )
    stop.stop_stack(layout)  # what a killed supervisor may have left
    prepared = prepare(layout, pool_file=pool_file, port=options.port, head=options.head, backbone=options.backbone)
    for left_out in prepared.left_out:
        note(f"{left_out.worker} is left out: {left_out.reason}")
    if not prepared.has_head:
        note(f"There is no trained head for {pool_file.name}: its fallback workers are asked first, then the others in order.")


def _stay(state: StackState, supervisor: subprocess.Popen[bytes], options: UpOptions) -> int:
    """Ask the first question; in the foreground, wait for the end."""
    # A reader that has gone away (`kubefugu up | head`) is no reason to end a stack that is up.
    with contextlib.suppress(BrokenPipeError):
        ask_first(state, question=options.question, command_name=_named("kubefugu", options.name))
    if not options.foreground:
        return 0
    err().print("Ctrl-C ends the stack.", style="dim")
    return supervisor.wait()


def _watch_or_end(layout: StackLayout, supervisor: subprocess.Popen[bytes]) -> StackState | None:
    """The state of a stack that is ready; None where it did not come up, which was told and of which nothing is left."""
    try:
        state = _watch(layout, supervisor)
    except BaseException:
        end_stack(layout, supervisor)
        raise
    if state is not None and state.phase is StackPhase.READY:
        return state
    _report_failure(layout, state)
    end_stack(layout, supervisor)
    return None


def end_stack(layout: StackLayout, supervisor: subprocess.Popen[bytes]) -> None:
    """End a stack whose supervisor is our child, also one so young that it has not yet written down that it runs."""
    stop.stop_stack(layout)
    if supervisor.poll() is None:
        supervisor.terminate()
        try:
            supervisor.wait(timeout=stop.ORDERLY_END_S)
        except subprocess.TimeoutExpired:
            supervisor.kill()
            supervisor.wait()
        stop.stop_stack(layout)


def _named(command: str, name: str) -> str:
    return command if name == DEFAULT_NAME else f"{command} --name {name}"


def _already_running(state: StackState, options: UpOptions) -> int:
    """A second `up` changes nothing; it fails where it asks for something else than what runs."""
    running = age(time.time() - state.started_at)
    if options.pool is not None and find_pool_file(options.pool) != Path(state.pool):
        fail(f"A stack with the pool {state.pool} runs at {state.url}. End it first (`kubefugu down`), or use --name.")
    if state.phase is StackPhase.STARTING:
        out().print(f"kubefugu is starting since {running}; it will be at {state.url}.", markup=False)
        return 0
    out().print(f"kubefugu is up already, for {running}: {state.url}", markup=False)
    if not state.url.endswith(f":{options.port}") and options.port != _DEFAULT_PORT:
        fail(f"It is not at port {options.port}. End it first (`kubefugu down`), or use --name.")
    return 0


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end `up` as Ctrl-C does, so that a stack that is being started is not left half done."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start_supervisor(layout: StackLayout, *, foreground: bool) -> subprocess.Popen[bytes]:
    """Start the process that owns the stack, in a session of its own. In the foreground it dies with this process."""
    command = [sys.executable, "-m", "kubefugu_cli.stack.supervisor", str(layout.root)]
    if foreground:
        command = processes.own_child(command)
    with layout.log_file("supervisor").open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def _watch(layout: StackLayout, supervisor: subprocess.Popen[bytes]) -> StackState | None:
    """Show the start until it is ready, has failed, or the supervisor ended; returns the last state."""
    state: StackState | None = None
    experts_asked = False
    refusals = RefusalWatch(layout)
    with StartDisplay(err()) as display:
        while True:
            ended = supervisor.poll() is not None
            state = read_document(layout.state_file, StackState) or state
            if state is not None:
                display.show(state)
                if not experts_asked and _is_ready(state, EXPERTS):
                    experts_asked = True
                    _leave_out_absent_experts(layout, state)
                if state.phase is not StackPhase.STARTING:
                    return state
                if refusal := refusals.look(state):
                    raise ArtifactRefusedError(refusal)
            if ended:
                return state
            time.sleep(_POLL_S)


def _is_ready(state: StackState, name: str) -> bool:
    component = state.component(name)
    return component is not None and component.phase is ComponentPhase.READY


def _leave_out_absent_experts(layout: StackLayout, state: StackState) -> None:
    left_out = left_out_workers(state)
    leave_out(layout, left_out)
    for one in left_out:
        note(f"{one.worker} is left out: {one.reason}")


def _report_failure(layout: StackLayout, state: StackState | None) -> None:
    """Which component failed, why, and the last lines of its log."""
    failed = next((one for one in state.components if one.phase is ComponentPhase.FAILED), None) if state else None
    name = failed.name if failed else "supervisor"
    reason = f"{failed.name} {failed.message}" if failed else (state.message if state else "") or "The supervisor ended."
    log = layout.log_file(name)
    with contextlib.suppress(OSError):
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-_SHOWN_LOG_LINES:]:
            err().print(f"  {line}", style="dim", markup=False, soft_wrap=True)
    err().print(f"kubefugu: it did not come up: {reason} Log: {log}", style="red", markup=False, soft_wrap=True)
