"""`kubefugu status`: processes from the state file and the process table, workers and policies from the services."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Any

import psutil
from google.protobuf.json_format import MessageToDict
from rich.table import Table

from kubefugu.executor.v1 import executor_pb2
from kubefugu.router.v1 import router_pb2
from kubefugu_cli.clients.services import ExecutorClient, RouterClient
from kubefugu_cli.console import age, new_table, out, print_json
from kubefugu_cli.policies import state_name
from kubefugu_cli.stack import processes
from kubefugu_cli.stack.experts import left_out_workers
from kubefugu_cli.stack.layout import StackLayout
from kubefugu_cli.stack.model import ComponentPhase, ComponentState, LeftOut, ProcessRef, StackState, read_document
from kubefugu_cli.stack.plan import EXECUTOR, ROUTER
from kubefugu_cli.stack.running import running_state
from kubefugu_core.errors import KubefuguError

_SERVICE_TIMEOUT_S = 5.0
_PHASE_STYLES = {
    ComponentPhase.READY: "green",
    ComponentPhase.FAILED: "red",
    ComponentPhase.RESTARTING: "red",
}


@dataclass(frozen=True, kw_only=True)
class StackView:
    """Everything that status shows."""

    state: StackState
    memory_bytes: dict[str, int]
    """Resident memory of each process that runs, its descendants included."""
    workers: executor_pb2.ListWorkersResponse | None
    """None: the executor did not answer."""
    policies: router_pb2.GetPoliciesResponse | None
    """None: the router did not answer."""
    left_out: tuple[LeftOut, ...]
    """Workers of the pool that the stack does not have."""
    problems: tuple[str, ...]
    """Sentences."""


def look(layout: StackLayout, state: StackState) -> StackView:
    """Ask everyone. What does not answer becomes a sentence."""
    problems = []
    workers, policies = None, None
    try:
        workers = ExecutorClient(layout.target(EXECUTOR), timeout_s=_SERVICE_TIMEOUT_S).list_workers()
    except KubefuguError as error:
        problems.append(f"The executor does not tell its workers: {error.message}")
    try:
        policies = RouterClient(layout.target(ROUTER), timeout_s=_SERVICE_TIMEOUT_S).get_policies()
    except KubefuguError as error:
        problems.append(f"The router does not tell its policies: {error.message}")
    memory = {component.name: size for component in state.components if (size := _memory(component)) is not None}
    return StackView(
        state=state,
        memory_bytes=memory,
        workers=workers,
        policies=policies,
        left_out=(*state.left_out, *left_out_workers(state)),
        problems=tuple(problems),
    )


def _memory(component: ComponentState) -> int | None:
    if component.pid is None or component.created is None:
        return None
    process = processes.find(ProcessRef(pid=component.pid, created=component.created))
    if process is None:
        return None
    total = 0
    for one in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += one.memory_info().rss
    return total


def show(layout: StackLayout, *, json_output: bool) -> int:
    """Print it; returns the exit code: 0 where the stack runs."""
    state = running_state(layout)
    if state is None:
        last = read_document(layout.state_file, StackState)
        if json_output:
            print_json({"running": False})
        else:
            failed = f" It failed last time: {last.message}" if last is not None and last.message else ""
            out().print(f"kubefugu is not running. Start it with `kubefugu up`.{failed}", markup=False, soft_wrap=True)
        return 1
    view = look(layout, state)
    if json_output:
        print_json(_document(view))
        return 0
    console = out()
    running = age(time.time() - state.started_at)
    console.print(f"[bold]{state.url}[/]  pool {state.pool_name}, {state.phase} for {running}, pid {state.supervisor.pid}")
    console.print(_components_table(view))
    for one in state.components:
        if one.message:
            console.print(f"{one.name}, last trouble: {one.message}", style="yellow", markup=False, soft_wrap=True)
    for left_out in view.left_out:
        console.print(f"{left_out.worker} is left out: {left_out.reason}", style="yellow", markup=False, soft_wrap=True)
    if view.workers is not None:
        console.print(_workers_table(view.workers))
    if view.policies is not None:
        console.print(policy_line(view.policies), markup=False)
    for problem in view.problems:
        console.print(problem, style="red", markup=False)
    return 0


def policy_line(reply: router_pb2.GetPoliciesResponse) -> str:
    """One line on what decides."""
    lines = []
    for policy in reply.policies:
        state = state_name(policy.state)
        if state != "resident":
            why = f" ({policy.message})" if policy.message else ""
            lines.append(f"{policy.version} {state}{why}")
    return f"policies: {', '.join(lines)}" if lines else "policies: none; the router has no trained head for this pool"


def _components_table(view: StackView) -> Table:
    table = new_table("process", "state", "for", "pid", "port", "memory", "restarts", "start")
    for one in view.state.components:
        memory = view.memory_bytes.get(one.name)
        table.add_row(
            one.name,
            f"[{_PHASE_STYLES.get(one.phase, 'yellow')}]{one.phase}[/]",
            age(time.time() - one.since),
            str(one.pid or ""),
            str(one.port or ""),
            f"{memory / 1e6:.0f} MB" if memory else "",
            str(one.restarts),
            f"{one.started_s:.1f} s" if one.started_s else "",
        )
    return table


def _workers_table(reply: executor_pb2.ListWorkersResponse) -> Table:
    table = new_table("worker", "model", "circuit", "open", "calls", "failed", "declined", "latency")
    for worker in reply.workers:
        table.add_row(
            worker.name,
            worker.model,
            f"[{'green' if worker.breaker == 'closed' else 'red'}]{worker.breaker}[/]",
            str(worker.in_flight),
            str(worker.calls),
            str(worker.failures),
            str(worker.declined),
            f"{worker.latency_ms_ewma:.0f} ms" if worker.calls else "",
        )
    return table


def _document(view: StackView) -> dict[str, Any]:
    options: dict[str, Any] = {"preserving_proto_field_name": True, "always_print_fields_with_no_presence": True}
    return {
        "running": True,
        **view.state.model_dump(mode="json"),
        "memory_bytes": view.memory_bytes,
        "left_out": [one.model_dump() for one in view.left_out],
        "workers": MessageToDict(view.workers, **options)["workers"] if view.workers is not None else None,
        "policies": MessageToDict(view.policies, **options) if view.policies is not None else None,
        "problems": list(view.problems),
    }
