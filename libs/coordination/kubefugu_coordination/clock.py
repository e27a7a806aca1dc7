"""Time as something handed in: a monotonic clock, and deadlines that travel down.

A deadline is an absolute point on the clock, so that whoever receives one cannot stretch it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """What the library needs of time."""

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    def time(self) -> float:
        """Seconds since the epoch."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        ...


class SystemClock:
    """The real clock."""

    def monotonic(self) -> float:
        """Seconds of time.monotonic, which asyncio's loops use too."""
        return time.monotonic()

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Sleep on the running loop."""
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point in time on a clock."""

    at: float
    clock: Clock

    @classmethod
    def after(cls, seconds: float, clock: Clock) -> Deadline:
        """The deadline that is `seconds` away."""
        return cls(clock.monotonic() + seconds, clock)

    def remaining_s(self) -> float:
        """Seconds left; negative when it has passed."""
        return self.at - self.clock.monotonic()

    def within(self, seconds: float) -> Deadline:
        """The earlier of this deadline and one `seconds` away."""
        return Deadline(min(self.at, self.clock.monotonic() + seconds), self.clock)
