"""Progress of a start: a live table on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from kubefugu_cli.stack.model import ComponentPhase, ComponentState, StackState

_MARKS = {
    ComponentPhase.READY: ("✓", "green"),
    ComponentPhase.FAILED: ("✗", "red"),
    ComponentPhase.RESTARTING: ("✗", "red"),
    ComponentPhase.WAITING: ("·", "dim"),
    ComponentPhase.STOPPED: ("·", "dim"),
}


class StartDisplay:
    """Shows each state that it is given. Use as a context."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=10, transient=False) if console.is_terminal else None
        self._printed: set[tuple[str, ComponentPhase]] = set()
        self._spinner = Spinner("dots")

    def __enter__(self) -> StartDisplay:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    def show(self, state: StackState) -> None:
        """The state as it is now."""
        if self._live:
            self._live.update(self._table(state))
            return
        for component in state.components:
            key = (component.name, component.phase)
            if component.phase in (ComponentPhase.READY, ComponentPhase.FAILED) and key not in self._printed:
                self._printed.add(key)
                took = f" after {component.started_s:.1f} s" if component.started_s else ""
                self._console.print(f"{component.name}: {component.phase}{took}", markup=False)

    def _table(self, state: StackState) -> Table:
        table = Table.grid(padding=(0, 2))
        for component in state.components:
            mark, style = _MARKS.get(component.phase, ("", ""))
            sign = Text(mark, style=style) if mark else self._spinner
            table.add_row(sign, component.name, Text(str(component.phase), style=style), f"{_seconds(component):.1f} s")
        return table


def _seconds(component: ComponentState) -> float:
    if component.phase is ComponentPhase.READY and component.started_s:
        return component.started_s
    return max(0.0, time.time() - component.since)
