"""Which tokens the next engine step computes.

Shortest first, so that a long transcript does not stall short ones; but the oldest request always gets a quarter of the step,
so that it is not starved by a stream of short ones either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

CPU_STEP_TOKENS = 512
GPU_STEP_TOKENS = 8192
"""Tokens that the engine computes before it looks at its queue again, where nothing else is configured."""


class Waiting(Protocol):
    """A request on its way."""

    @property
    def remaining(self) -> int:
        """Tokens still to be computed."""
        ...

    @property
    def arrival(self) -> int:
        """Order of arrival."""
        ...


W = TypeVar("W", bound=Waiting)


def plan(waiting: Sequence[W], budget_tokens: int) -> list[tuple[W, int]]:
    """Requests and how many of their tokens the next step computes; together at most `budget_tokens` (at least one)."""
    if not waiting:
        return []
    oldest = min(waiting, key=lambda request: request.arrival)
    share = min(oldest.remaining, max(1, budget_tokens // 4))
    left = max(0, budget_tokens - share)
    parts: list[tuple[W, int]] = []
    for request in sorted(waiting, key=lambda r: (r.remaining, r.arrival)):
        granted = share if request is oldest else 0
        extra = min(request.remaining - granted, left)
        left -= extra
        if granted + extra > 0:
            parts.append((request, granted + extra))
    return parts
