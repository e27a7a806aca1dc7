"""A clock that moves only when a test moves it, or when somebody sleeps on it."""

from __future__ import annotations

import asyncio


class FakeClock:
    """`sleep` takes no real time: it advances the clock and notes how long was asked for."""

    def __init__(self, *, start: float = 1000.0) -> None:
        self.now = start
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 1_700_000_000.0 + self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        self.now += seconds
