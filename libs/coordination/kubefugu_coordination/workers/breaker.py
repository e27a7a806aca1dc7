"""A circuit breaker per worker: closed, open, half open. Pure but for the clock.

Consecutive failures open it; while open nothing is sent; after a pause one probe may go through, whose outcome closes it or
opens it again for twice as long (bounded). What the caller's own request is to blame for does not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kubefugu_coordination.clock import Clock


class BreakerState(StrEnum):
    """State as metrics and ListWorkers name it."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When it opens and for how long."""

    failures: int = 5
    """Consecutive failures that open it."""
    open_s: float = 5.0
    """First pause."""
    max_open_s: float = 60.0
    """Longest pause."""


DEFAULT_BREAKER = BreakerSettings()


class Breaker:
    """State of one worker's circuit."""

    def __init__(self, clock: Clock, settings: BreakerSettings = DEFAULT_BREAKER) -> None:
        self._clock = clock
        self._settings = settings
        self._failures = 0
        self._pause_s = settings.open_s
        self._opened_at: float | None = None
        self._probing = False

    @property
    def state(self) -> BreakerState:
        """Where it stands now."""
        if self._opened_at is None:
            return BreakerState.CLOSED
        if self._probing or self._clock.monotonic() >= self._opened_at + self._pause_s:
            return BreakerState.HALF_OPEN
        return BreakerState.OPEN

    @property
    def available(self) -> bool:
        """True: a call would be let through now."""
        if self._opened_at is None:
            return True
        return not self._probing and self._clock.monotonic() >= self._opened_at + self._pause_s

    def try_acquire(self) -> bool:
        """Ask to send a call; a granted call in half-open state is the probe. Every grant ends in one of the three reports."""
        if not self.available:
            return False
        if self._opened_at is not None:
            self._probing = True
        return True

    def succeeded(self) -> None:
        """The call came through: close."""
        self._failures = 0
        self._opened_at = None
        self._probing = False
        self._pause_s = self._settings.open_s

    def failed(self) -> None:
        """The worker failed: count, and open when it was one too many or the probe."""
        self._failures += 1
        if self._probing:
            self._probing = False
            self._pause_s = min(self._pause_s * 2, self._settings.max_open_s)
            self._opened_at = self._clock.monotonic()
        elif self._opened_at is None and self._failures >= self._settings.failures:
            self._opened_at = self._clock.monotonic()

    def released(self) -> None:
        """The call says nothing about the worker (cancelled, or the request was at fault): another probe may go."""
        self._probing = False
