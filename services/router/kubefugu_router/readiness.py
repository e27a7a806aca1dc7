"""gRPC health that means "can decide now".

The router is ready when its engine answers a real inference and the declared active policy serves. At the start that is the
newest declaration there is, from the policy set file or from the last run; a declaration that is refused later leaves the old
one serving, and the router ready.

Under the name `live` health says whether a restart would help: it is SERVING from the start, and no longer once the engine has
failed a real inference several times in a row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from kubefugu_core.errors import KubefuguError
from kubefugu_router.domain.ports import EngineHost
from kubefugu_router.registry import PolicyRegistry

_log = structlog.get_logger()
PULSE_TIMEOUT_S = 30.0
FAILURES_BEFORE_UNREADY = 2
FAILURES_BEFORE_DEAD = 6
LIVE = "live"


@dataclass(eq=False)
class Readiness:
    """Keeps the health service up to date. `report` is RpcServer.set_serving, `report_live` tells of the name `live`."""

    report: Callable[[bool], Awaitable[None]]
    report_live: Callable[[bool], Awaitable[None]] | None = None
    registry: PolicyRegistry | None = None
    required_generation: int = 0
    """Generation that a starting router has to serve; 0: none was declared, UNREADABLE: one that can't be read."""
    _was_ready: bool = False
    _reported: bool | None = None
    _reported_live: bool | None = None
    _failures: int = field(default=1)
    """Failed pulses in a row; a starting engine has yet to answer one."""

    def require(self, generation: int) -> None:
        """A declaration was found that a starting router has to serve."""
        self.required_generation = generation
        if self.registry is not None:
            self.registry.awaiting = generation > 0

    @property
    def ready(self) -> bool:
        """Whether the router can decide now as declared."""
        return self._failures == 0 or (self._was_ready and self._failures < FAILURES_BEFORE_UNREADY)

    async def refresh(self) -> None:
        """Report a change, if there is one."""
        serving = self.ready and self._serves_declared()
        self._was_ready = self._was_ready or serving
        if serving != self._reported:
            self._reported = serving
            await self.report(serving)
            _log.info("router_serving" if serving else "router_not_serving", engine_failures=self._failures)
        live = self._failures < FAILURES_BEFORE_DEAD
        if live != self._reported_live and self.report_live is not None:
            self._reported_live = live
            await self.report_live(live)

    def _serves_declared(self) -> bool:
        if self.registry is None:
            return False
        if self._was_ready:
            return True
        declared = self.registry.declared
        return (declared.generation if declared else 0) >= self.required_generation

    async def watch(self, host: EngineHost, *, interval_s: float) -> None:
        """A real inference every `interval_s` seconds, for ever."""
        while True:
            try:
                await host.pulse(timeout_s=PULSE_TIMEOUT_S)
                self._failures = 0
            except KubefuguError as error:
                self._failures += 1
                _log.warning("engine_pulse_failed", failures=self._failures, message=error.message)
            await self.refresh()
            await asyncio.sleep(interval_s)
