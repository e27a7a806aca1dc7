"""Stacks of little real processes, for tests of the supervisor and of what reads its state."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import psutil

from kubefugu_cli.stack import processes
from kubefugu_cli.stack.layout import StackLayout
from kubefugu_cli.stack.model import Component, Probe, StackPhase, StackPlan, StackState, read_document, write_document
from support.paths import REPO

_SERVER = REPO / "tests" / "support" / "little_server.py"


def component(name: str, *flags: str, after: tuple[str, ...] = (), tier: int = 0, **more: object) -> Component:
    port = processes.free_ports(1)[0]
    return Component.model_validate(
        {
            "name": name,
            "argv": (sys.executable, str(_SERVER), str(port), *flags),
            "probe": Probe(kind="http", target=f"http://127.0.0.1:{port}/"),
            "port": port,
            "after": after,
            "tier": tier,
            "ready_timeout_s": 60.0,
            **more,
        }
    )


def plan(*components: Component, **more: str) -> StackPlan:
    given = {"name": "test", "url": "http://127.0.0.1:1", "pool": "pool.yaml", "pool_name": "test", **more}
    return StackPlan.model_validate({**given, "components": components})


def is_up(layout: StackLayout) -> bool:
    state = read_document(layout.state_file, StackState)
    return state is not None and state.phase is StackPhase.READY


def alive(pid: int | None) -> bool:
    return pid is not None and psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@contextlib.contextmanager
def supervisor_process(layout: StackLayout, stack_plan: StackPlan) -> Iterator[subprocess.Popen[bytes]]:
    """A supervisor as `kubefugu up` starts it; killed at the end if it still runs."""
    layout.create()
    write_document(layout.plan_file, stack_plan)
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "kubefugu_cli.stack.supervisor", str(layout.root)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield supervisor
    finally:
        supervisor.kill()
        supervisor.wait()
