"""What `kubefugu down` does. Safe to repeat; ends what a killed supervisor may have left."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass

from kubefugu_cli.stack import processes
from kubefugu_cli.stack.layout import StackLayout
from kubefugu_cli.stack.model import StackState, read_document
from kubefugu_cli.stack.running import living, running_state

ORDERLY_END_S = 45.0
"""The supervisor's own upper bound: three tiers with their grace."""


@dataclass(frozen=True)
class Stopped:
    """What was done."""

    was_running: bool
    ended: int
    """Processes that were ended."""
    left: tuple[int, ...]
    """Process ids that live on in spite of it; normally none."""


def stop_stack(layout: StackLayout) -> Stopped:
    """End a stack: the supervisor is asked first, whatever is left afterwards is ended directly."""
    state = running_state(layout)
    last = state or read_document(layout.state_file, StackState)
    if last is None:
        return Stopped(was_running=False, ended=0, left=())
    before = living(last)
    if state is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(state.supervisor.pid, signal.SIGTERM)
        processes.wait_gone(state.supervisor, timeout_s=ORDERLY_END_S)
    # Restarts between the reading and the signal are in the last state.
    final = read_document(layout.state_file, StackState) or last
    remains = {ref.pid: ref for ref in (*before, *living(final)) if processes.find(ref) is not None}
    processes.end_all(remains.values(), grace_s=3.0)
    left = tuple(ref.pid for ref in remains.values() if processes.find(ref) is not None)
    return Stopped(was_running=state is not None, ended=len(before), left=left)
