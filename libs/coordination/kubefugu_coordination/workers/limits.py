"""Limits that a worker imposes: calls in flight, requests and tokens a minute. Callers wait, within their deadline."""

from __future__ import annotations

import asyncio
from collections import deque

from kubefugu_coordination.clock import Clock, Deadline
from kubefugu_core.errors import OverloadedError, RateLimitedError
from kubefugu_core.pool import Limits

_MINUTE_S = 60.0


class MinuteWindow:
    """How much was used in the last sixty seconds, exactly (a sliding log, not a bucket that allows twice the rate)."""

    def __init__(self, limit: int, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._log: deque[tuple[float, int]] = deque()
        self._used = 0

    def _expire(self) -> None:
        horizon = self._clock.monotonic() - _MINUTE_S
        while self._log and self._log[0][0] <= horizon:
            self._used -= self._log.popleft()[1]

    def wait_s(self, amount: int = 1) -> float:
        """Seconds until `amount` more fits; 0 when it fits now. More than the limit fits once the window is empty."""
        self._expire()
        excess = self._used + min(amount, self._limit) - self._limit
        if excess <= 0:
            return 0.0
        for at, used in self._log:
            excess -= used
            if excess <= 0:
                return max(0.0, at + _MINUTE_S - self._clock.monotonic())
        return _MINUTE_S

    def use(self, amount: int = 1) -> None:
        """Take `amount` now; a correction may be negative."""
        self._log.append((self._clock.monotonic(), amount))
        self._used += amount


class Limiter:
    """The three limits of one worker, and a pause that the worker asked for (Retry-After)."""

    def __init__(self, limits: Limits, clock: Clock, *, worker: str) -> None:
        self._clock = clock
        self._worker = worker
        self._slots = asyncio.Semaphore(limits.max_concurrency) if limits.max_concurrency else None
        self._requests = MinuteWindow(limits.requests_per_minute, clock) if limits.requests_per_minute else None
        self._tokens = MinuteWindow(limits.tokens_per_minute, clock) if limits.tokens_per_minute else None
        self._not_before = 0.0

    def pause(self, seconds: float) -> None:
        """Send nothing for `seconds`: the worker said so."""
        self._not_before = max(self._not_before, self._clock.monotonic() + seconds)

    @property
    def paused_s(self) -> float:
        """Seconds that the worker asked us to stay away, still."""
        return max(0.0, self._not_before - self._clock.monotonic())

    async def acquire(self, deadline: Deadline, *, tokens: int) -> None:
        """Wait for a slot and for room in the rates; `tokens` is an estimate, corrected by `settle`.

        Raises OverloadedError when no slot comes free in time, RateLimitedError when the rate leaves no room until then.
        """
        if self._slots is not None:
            try:
                async with asyncio.timeout(max(0.0, deadline.remaining_s())):
                    await self._slots.acquire()
            except TimeoutError as error:
                raise OverloadedError(f"Worker {self._worker} had no free slot before the deadline.") from error
        try:
            await self._await_rates(deadline, tokens)
        except BaseException:
            self.release()
            raise

    async def _await_rates(self, deadline: Deadline, tokens: int) -> None:
        while (wait_s := self._wait_s(tokens)) > 0:
            if wait_s > deadline.remaining_s():
                raise RateLimitedError(f"Worker {self._worker} is at its rate limit.", retry_after_s=round(wait_s, 3))
            await self._clock.sleep(wait_s)
        if self._requests is not None:
            self._requests.use()
        if self._tokens is not None:
            self._tokens.use(tokens)

    def _wait_s(self, tokens: int) -> float:
        waits = [self.paused_s]
        if self._requests is not None:
            waits.append(self._requests.wait_s())
        if self._tokens is not None:
            waits.append(self._tokens.wait_s(tokens))
        return max(waits)

    def settle(self, *, estimated_tokens: int, actual_tokens: int) -> None:
        """Correct the token rate once the call's usage is known."""
        if self._tokens is not None and actual_tokens != estimated_tokens:
            self._tokens.use(actual_tokens - estimated_tokens)

    def release(self) -> None:
        """Give the slot back."""
        if self._slots is not None:
            self._slots.release()
