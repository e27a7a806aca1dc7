"""Ending at a safe point: a signal sets the event, the run raises at the next point where nothing is lost."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from kubefugu_core.errors import KubefuguError

STOPPED_EXIT = 75
"""EX_TEMPFAIL: stopped at a safe point; the same command goes on from there."""


class RunStoppedError(KubefuguError):
    """The run was asked to end and has; it goes on from its checkpoint."""


@contextlib.contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """SIGTERM and SIGINT set the event while the block runs; a second SIGINT interrupts at once. Main thread only."""

    def handle(number: int, _frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
