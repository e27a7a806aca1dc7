"""One turn's routing: who is offered, the router's decision, and what happens when there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kubefugu_coordination.capabilities import Eligible
from kubefugu_coordination.clock import Deadline
from kubefugu_coordination.events import RoleSource, Routed
from kubefugu_coordination.job import Job
from kubefugu_coordination.loop.candidates import candidates, offers, without_router
from kubefugu_coordination.loop.observation import observation
from kubefugu_coordination.loop.router import Decision, Offer, RouteQuery, Router
from kubefugu_coordination.loop.state import LoopState
from kubefugu_coordination.workers.registry import PoolSnapshot
from kubefugu_core.errors import (
    DeadlineExceededError,
    InternalError,
    KubefuguError,
    NoWorkerAvailableError,
    UnavailableError,
    spec_of,
)
from kubefugu_core.options import SamplingOptions
from kubefugu_core.pool import Role, WorkerSpec

UNTRAINED = "no_trained_worker"
"""The deciding policy has no row for any offered worker."""


@dataclass(frozen=True, slots=True)
class Routing:
    """A turn's decision, or why there is none."""

    workers: Sequence[WorkerSpec]
    """The workers that were offered."""
    decision: Decision | None
    router_ms: float
    degraded: str = ""
    """Reason of the error table (lower case) or `no_trained_worker` where declared fallback workers are asked; else ""."""

    @property
    def policy_version(self) -> str:
        """The deciding version; "" where none decided."""
        return self.decision.policy_version if self.decision is not None else ""

    @property
    def role(self) -> Role:
        """The router's role."""
        return self.decision.role if self.decision is not None else Role.SOLVER

    @property
    def has_roles(self) -> bool:
        """Whether the deciding policy has role rows."""
        return self.decision is not None and bool(self.decision.roles)

    def candidates(self, role: Role) -> list[WorkerSpec]:
        """Workers to ask, best first."""
        if self.decision is None:
            return without_router(self.workers)
        ranked = candidates(self.decision, role, self.workers)
        if self.degraded == UNTRAINED:
            fallbacks = [worker for worker in ranked if worker.fallback]
            ranked = fallbacks + [worker for worker in ranked if not worker.fallback]
        return ranked

    def event(self, turn: int, worker: str, role: Role, source: RoleSource) -> Routed:
        """What happened, as an event."""
        return Routed(
            turn=turn,
            worker=worker,
            role=role,
            role_source=source,
            policy_version=self.policy_version,
            router_ms=self.router_ms,
            decision=self.decision,
            degraded=self.degraded,
        )


class TurnRouter:
    """Asks the router for each turn of one request."""

    def __init__(self, job: Job, *, pool: PoolSnapshot, eligible: Eligible, router: Router, timeout_s: float) -> None:
        self._job = job
        self._pool = pool
        self._eligible = eligible
        self._router = router
        self._timeout_s = timeout_s
        self._conversation_key = job.conversation_key()

    async def route(self, state: LoopState, *, deadline: Deadline) -> Routing:
        """Decide the turn.

        Raises NoWorkerAvailableError where every worker rests. Where the router cannot be had, the declared fallback workers
        are asked and the routing says so, unless the request pins a policy version: then the router's error is raised.
        """
        workers = self._available()
        offered = self._offers(state, workers)
        started = deadline.clock.monotonic()
        decision, degraded = None, ""
        try:
            decision = await self._router.route(self._query(state, offered), deadline=deadline.within(self._timeout_s))
        except (UnavailableError, DeadlineExceededError, InternalError) as error:
            degraded = self._outage(error, workers)
        else:
            if decision.workers and not any(score.trained for score in decision.workers) and not self._pinned:
                degraded = UNTRAINED
        return Routing(workers, decision, (deadline.clock.monotonic() - started) * 1e3, degraded)

    @property
    def _pinned(self) -> bool:
        return self._job.chat.options.policy_version is not None

    def _outage(self, error: KubefuguError, workers: Sequence[WorkerSpec]) -> str:
        if self._pinned or not without_router(workers):
            raise error
        return spec_of(error).reason.lower()

    def _available(self) -> list[WorkerSpec]:
        """Eligible workers whose circuit lets calls through, preferably those that did not ask for a pause."""
        admissions = {worker.name: self._pool.client(worker.name).admission for worker in self._eligible.workers}
        up = [worker for worker in self._eligible.workers if admissions[worker.name].breaker.available]
        if not up:
            names = ", ".join(worker.name for worker in self._eligible.workers)
            raise NoWorkerAvailableError(f"Every allowed worker failed repeatedly and rests: {names}.")
        return [worker for worker in up if not admissions[worker.name].limiter.paused_s] or up

    @staticmethod
    def _offers(state: LoopState, workers: Sequence[WorkerSpec]) -> list[Offer]:
        offered = offers(workers, state.offered_roles())
        if not offered and state.suggestion is not None:
            # Nobody may take the suggested role: the suggestion is dropped.
            state.suggestion = None
            offered = offers(workers, state.offered_roles())
        if not any(Role.SOLVER in worker.roles for worker in workers) or not offered:
            raise NoWorkerAvailableError("No allowed worker may take the role solver.")
        return offered

    def _query(self, state: LoopState, offered: Sequence[Offer]) -> RouteQuery:
        options = self._job.chat.options
        sampling = options.sampling
        if sampling is not None and state.turn > 1:
            # Another draw for each turn, still fixed by the request's seed.
            sampling = SamplingOptions(temperature=sampling.temperature, seed=(sampling.seed + state.turn - 1) % 2**63)
        return RouteQuery(
            transcript=observation(self._job.chat.messages, state.thoughts),
            offers=offered,
            conversation_key=self._conversation_key,
            policy_version=options.policy_version or "",
            sampling=sampling,
        )
