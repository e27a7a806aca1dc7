"""Which stack runs: reads state files and the process table, changes nothing."""

from __future__ import annotations

from kubefugu_cli.stack import processes
from kubefugu_cli.stack.layout import StackLayout
from kubefugu_cli.stack.model import ProcessRef, StackState, read_document


def running_state(layout: StackLayout) -> StackState | None:
    """The state of a stack whose supervisor lives; None where there is none."""
    state = read_document(layout.state_file, StackState)
    return state if state is not None and processes.find(state.supervisor) is not None else None


def refs_of(state: StackState) -> list[ProcessRef]:
    """Every process that a state names, the supervisor first."""
    refs = [state.supervisor]
    if state.guardian is not None:
        refs.append(state.guardian)
    for component in state.components:
        if component.pid is not None and component.created is not None:
            refs.append(ProcessRef(pid=component.pid, created=component.created))
    return refs


def living(state: StackState) -> list[ProcessRef]:
    """Those of its processes that live."""
    return [ref for ref in refs_of(state) if processes.find(ref) is not None]
