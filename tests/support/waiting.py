"""Waiting for a condition with a deadline, instead of sleeping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

_NAP_S = 0.005


async def until(condition: Callable[[], object], *, what: str = "the condition", timeout_s: float = 60.0) -> float:
    """Poll until `condition` holds. Fails naming `what`, late: only a test that fails waits so long.

    Returns the seconds that it napped. No nap ends while a busy machine keeps this event loop from running, so a bound on them
    is one on the code in this loop and not on the machine.
    """
    started, naps = time.monotonic(), 0
    while not condition():
        if time.monotonic() - started > timeout_s:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        await asyncio.sleep(_NAP_S)
        naps += 1
    return naps * _NAP_S
