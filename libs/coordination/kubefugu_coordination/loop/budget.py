"""What one request may use: turns, money, time. A request can lower the pool's bounds, not raise them."""

from __future__ import annotations

from dataclasses import dataclass

from kubefugu_coordination.job import Job
from kubefugu_core.errors import InvalidRequestError
from kubefugu_core.pool import RoutingDefaults


@dataclass(frozen=True, slots=True)
class Budget:
    """Bounds of one request."""

    max_turns: int
    max_cost_usd: float | None
    """None: no bound."""
    call_timeout_s: float
    """For one worker call; a failover begins a new one, inside the request's deadline."""


def budget_of(job: Job, routing: RoutingDefaults) -> Budget:
    """Bounds from the pool and the request's options. Raises InvalidRequestError (n)."""
    turns = min(routing.max_turns, job.effort_turns())
    n = job.chat.body.get("n")
    if turns > 1 and (n or 1) > 1:
        raise InvalidRequestError("More than one choice (n) goes with one turn only.", field="n")
    caps = [cap for cap in (float(routing.max_cost_usd) or None, job.chat.options.max_cost_usd) if cap is not None]
    return Budget(turns, min(caps, default=None), float(routing.turn_timeout_seconds))
