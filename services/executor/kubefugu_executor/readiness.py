"""When the executor can work: its pool is loaded, and the router was seen serving once, or the pool answers without it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from kubefugu_coordination.clock import Clock
from kubefugu_coordination.loop.candidates import without_router
from kubefugu_core.pool import WorkerPool


class ProbedRouter(Protocol):
    """What readiness asks of the router."""

    async def is_serving(self) -> bool:
        """Whether it can decide now."""
        ...


async def wait_until_ready(
    pool: Callable[[], WorkerPool],
    router: ProbedRouter,
    announce: Callable[[], Awaitable[None]],
    *,
    clock: Clock,
    every_s: float = 0.25,
) -> None:
    """Call `announce` once, as soon as requests can be answered: with the router, or by declared fallback workers."""
    while not without_router(pool().spec.workers) and not await router.is_serving():
        await clock.sleep(every_s)
    await announce()
