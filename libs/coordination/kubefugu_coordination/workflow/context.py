"""What all steps of one request's workflow share: the request, the workers, the budget, and whom to tell."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from kubefugu_coordination.clock import Deadline
from kubefugu_coordination.events import Event, PlanFailed, Planned
from kubefugu_coordination.job import Job
from kubefugu_coordination.loop.candidates import offers
from kubefugu_coordination.loop.router import RouteQuery, Router
from kubefugu_coordination.workers.registry import PoolSnapshot
from kubefugu_coordination.workers.reply import TokenUsage
from kubefugu_coordination.workflow.budget import Meter
from kubefugu_coordination.workflow.offer import JOIN, OfferedWorker, joins
from kubefugu_coordination.workflow.parking import OpenCalls
from kubefugu_coordination.workflow.plan import Plan
from kubefugu_coordination.workflow.planning import PlannerPort, Planning, PlanningRequest
from kubefugu_coordination.workflow.settings import WorkflowSettings
from kubefugu_core.errors import KubefuguError, NoWorkerAvailableError
from kubefugu_core.pool import Capability, Role, WorkerSpec

Emit = Callable[[Event], Awaitable[None]]


@dataclass(slots=True, kw_only=True)
class FlowContext:
    """One request's surroundings. Mutable parts: meter, open calls, memory, running, streamed."""

    job: Job
    pool: PoolSnapshot
    allowed: Sequence[WorkerSpec]
    """Workers that the request allows and that may solve, in the pool's order."""
    needs: Sequence[Capability]
    """What the worker of the last step must support."""
    max_steps: int
    """Steps of one workflow."""
    call_timeout_s: float
    meter: Meter
    planner: PlannerPort
    router: Router | None
    strengths: Mapping[str, Mapping[str, float]]
    deadline: Deadline
    settings: WorkflowSettings
    emit: Emit
    started: float
    """Clock's time at which the request began."""
    calls: OpenCalls | None
    """None: no tools are offered to anyone."""
    memory: str = ""
    planner_name: str = ""
    planner_version: str = ""
    running: set[str] = field(default_factory=set)
    """Steps at work, by path and number."""
    streamed: bool = False
    """True: a piece of the answer has left, so nobody else can be asked for it any more."""

    def elapsed_ms(self, since: float | None = None) -> float:
        """Milliseconds since a point of the clock, or since the request began."""
        return (self.deadline.clock.monotonic() - (self.started if since is None else since)) * 1e3

    def available(self) -> list[WorkerSpec]:
        """Allowed workers whose circuit lets calls through, preferably those that did not ask for a pause."""
        admissions = {worker.name: self.pool.client(worker.name).admission for worker in self.allowed}
        up = [worker for worker in self.allowed if admissions[worker.name].breaker.available]
        if not up:
            names = ", ".join(worker.name for worker in self.allowed)
            raise NoWorkerAvailableError(f"Every allowed worker failed repeatedly and rests: {names}.")
        return [worker for worker in up if not admissions[worker.name].limiter.paused_s] or up

    async def plan(self, conversation: Sequence[Mapping[str, Any]], *, depth: int, path: str, deadline: Deadline) -> Plan:
        """Have a workflow planned, book what it cost and tell about it. Raises the planner's error."""
        settings, started = self.settings, self.deadline.clock.monotonic()
        seconds = min(settings.planner_timeout_s, settings.planner_share * max(0.0, deadline.remaining_s()))
        try:
            planning = await self.planner.plan(self._planning_request(conversation, depth), deadline=deadline.within(seconds))
        except KubefuguError as error:
            usage, cost_usd = _spent_in_vain(error)
            self.meter.ledger.book(usage, cost_usd)
            duration_ms = self.elapsed_ms(started)
            await self.emit(PlanFailed(error, path=path, usage=usage, cost_usd=cost_usd, duration_ms=duration_ms))
            raise
        self.meter.ledger.book(planning.usage, planning.cost_usd)
        self.planner_name = self.planner_name or planning.planner
        self.planner_version = self.planner_version or planning.version
        await self.emit(_planned(planning, path=path, duration_ms=self.elapsed_ms(started)))
        return planning.plan

    def _planning_request(self, conversation: Sequence[Mapping[str, Any]], depth: int) -> PlanningRequest:
        options = self.job.chat.options
        return PlanningRequest(
            messages=conversation,
            workers=[
                *map(self._offer, self.available()),
                *([JOIN] if self.max_steps > 1 and joins(self.job.chat.body) else []),
            ],
            max_steps=self.max_steps,
            planner=options.planner or self.pool.pool.spec.routing.planner,
            denied=options.deny,
            allow_recursion=self.meter.may_recurse(depth),
            memory=self.memory,
            tenant=self.job.tenant,
            seed=_seed_of(self.job.chat.body),
            conversation_key=self.job.conversation_key(),
        )

    def _offer(self, worker: WorkerSpec) -> OfferedWorker:
        description = worker.description
        if self.calls is not None and Capability.TOOLS in worker.capabilities:
            description = f"{description} Can call the user's tools.".strip()
        return OfferedWorker(
            worker.name,
            description,
            worker.prices.input_per_million_tokens.rstrip("0").rstrip(".") or "",
            worker.prices.output_per_million_tokens.rstrip("0").rstrip(".") or "",
            worker.context_tokens,
            self.strengths.get(worker.name, {}),
            narrow=worker.specialist,
        )

    async def ranking(self, subtask: str, workers: Sequence[WorkerSpec]) -> list[str]:
        """The router's order of these workers for a subtask; [] where it can't be had, which is no reason to fail."""
        if self.router is None or len(workers) < 2:
            return []
        query = RouteQuery(
            transcript=[("user", subtask)],
            offers=offers(workers, (Role.SOLVER,)),
            policy_version=self.job.chat.options.policy_version or "",
        )
        try:
            decision = await self.router.route(query, deadline=self.deadline.within(self.settings.router_timeout_s))
        except KubefuguError:
            return []
        return [score.worker for score in decision.workers if score.trained]


def _seed_of(body: Mapping[str, Any]) -> int | None:
    seed = body.get("seed")
    return seed if isinstance(seed, int) and not isinstance(seed, bool) else None


def _planned(planning: Planning, *, path: str, duration_ms: float) -> Planned:
    return Planned(
        plan_json=plan_json(planning.plan),
        planner=planning.planner,
        version=planning.version,
        path=path,
        notes=planning.notes,
        repaired=planning.repaired,
        usage=planning.usage,
        cost_usd=planning.cost_usd,
        duration_ms=duration_ms,
    )


def plan_json(plan: Plan) -> bytes:
    """The graph as it is told to clients."""
    return orjson.dumps(plan.to_json())


def _spent_in_vain(error: KubefuguError) -> tuple[TokenUsage, float]:
    """What a planner that failed has spent, as far as its error says so."""
    try:
        spent = orjson.loads(error.metadata.get("usage", "{}"))
        return TokenUsage(int(spent["prompt_tokens"]), int(spent["completion_tokens"])), float(spent["cost_usd"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return TokenUsage(), 0.0
