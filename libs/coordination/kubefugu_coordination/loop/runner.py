"""The coordination loop over a router and workers: drives the state machine and yields what happens as events.

One turn passes a worker's stream through (latency mode: one route, one worker call). With several turns, only the last one can
be passed through; before that replies are awaited, with signs of life, because whether one is the answer is not known yet.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from kubefugu_coordination.capabilities import Eligible, eligible_workers, least_tokens
from kubefugu_coordination.clock import Deadline
from kubefugu_coordination.completion import completion_frames, finished_completion, last_frames
from kubefugu_coordination.events import Delta, Done, Event, Outcome, Progress, RoleSource, Routed, StopReason
from kubefugu_coordination.job import Job
from kubefugu_coordination.loop.budget import Budget, budget_of
from kubefugu_coordination.loop.calls import Turn, TurnCalls, TurnResult
from kubefugu_coordination.loop.candidates import affordable
from kubefugu_coordination.loop.explain import explanation
from kubefugu_coordination.loop.prompts import role_body, solver_messages, thinker_messages, verifier_messages
from kubefugu_coordination.loop.router import Router
from kubefugu_coordination.loop.routing import Routing, TurnRouter
from kubefugu_coordination.loop.state import LoopRules, LoopState
from kubefugu_coordination.spend import Ledger
from kubefugu_coordination.workers.registry import PoolSnapshot
from kubefugu_core.errors import BudgetExceededError, InternalError, KubefuguError
from kubefugu_core.pool import Role


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """Settings of the loop that belong to the service, not to a pool."""

    progress_s: float = 8.0
    """Seconds between signs of life of a multi-turn answer."""
    router_timeout_s: float = 5.0
    """Longest wait for one routing decision."""
    keep_text: bool = False
    """True: replies are kept for decision records with content."""
    early_verifier_ends: bool = False
    """Training's rule: a verifier picked before any response ends the run with EarlyVerifierError instead of solving."""


DEFAULT_SETTINGS = LoopSettings()


class EarlyVerifierError(KubefuguError):
    """A verifier was picked before there was anything to verify (training only; the episode's reward is 0)."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """The latest solver response, as it came."""

    result: TurnResult
    policy_version: str


class CoordinationLoop:
    """One request's run through the loop. Iterate `events` once; the last one is Done.

    Raises what the error table knows; after the first Delta an error means that the stream cannot be completed.
    """

    def __init__(
        self,
        job: Job,
        *,
        pool: PoolSnapshot,
        router: Router,
        deadline: Deadline,
        settings: LoopSettings = DEFAULT_SETTINGS,
    ) -> None:
        routing = pool.pool.spec.routing
        self._job = job
        self._pool = pool
        self._settings = settings
        self.budget: Budget = budget_of(job, routing)
        self.deadline = deadline.within(float(routing.request_timeout_seconds))
        self.eligible: Eligible = eligible_workers(job.chat, pool.pool.spec.workers)
        self.state = LoopState(
            LoopRules(max_turns=self.budget.max_turns, verifier_without_response_ends=settings.early_verifier_ends)
        )
        self.ledger = Ledger()
        self._turn_router = TurnRouter(
            job, pool=pool, eligible=self.eligible, router=router, timeout_s=settings.router_timeout_s
        )
        self._body = job.worker_body(coordinated=True)
        self._answer: _Answer | None = None
        self._routed: list[Routed] = []
        self._streaming = False

    async def events(self) -> AsyncGenerator[Event, None]:
        """Run to the end."""
        while self.state.stop is None:
            if self._may_not_go_on():
                self.state.stop = StopReason.BUDGET
                break
            self.state.begin_turn()
            async with aclosing(self._turn()) as turn:
                try:
                    async for event in turn:
                        yield event
                except KubefuguError as error:
                    if self._answer is None or self._streaming:
                        raise
                    self.state.stop = StopReason.BUDGET if _is_budget(error) else StopReason.TURN_FAILED
        async with aclosing(self._end()) as end:
            async for event in end:
                yield event

    def _may_not_go_on(self) -> bool:
        """True: there is an answer, and no time or money for another turn."""
        if self._answer is None:
            return False
        left_usd = self._left_usd()
        return self.deadline.remaining_s() <= 0 or (left_usd is not None and left_usd <= 0)

    def _left_usd(self) -> float | None:
        cap = self.budget.max_cost_usd
        return None if cap is None else cap - self.ledger.cost_usd

    async def _turn(self) -> AsyncGenerator[Event, None]:
        several = self.budget.max_turns > 1
        if several and self.state.turn > 1:
            # The last sign may be nearly as old as they are apart, and routing takes its time too.
            yield Progress(f"turn {self.state.turn}: routing")
        routing = await self._turn_router.route(self.state, deadline=self.deadline)
        if routing.degraded and self._answer is not None:
            # A fallback worker's answer is no improvement on what the policy's choice has said.
            self.state.stop = StopReason.TURN_FAILED
            return
        if routing.degraded or not routing.has_roles:
            self.state.policy_has_no_roles()
        role, source = self._role(routing)
        turn = self._prepared(routing, role)
        routed = routing.event(self.state.turn, turn.clients[0].name, role, source)
        self._routed.append(routed)
        yield routed
        if several:
            yield Progress(f"turn {turn.number}: {role} {turn.clients[0].name}")
        calls = TurnCalls(
            job=self._job,
            turn=turn,
            ledger=self.ledger,
            deadline=self.deadline,
            call_timeout_s=self.budget.call_timeout_s,
            progress_s=self._settings.progress_s if several else None,
            keep_text=self._settings.keep_text,
        )
        passes = self._job.chat.stream and role is Role.SOLVER and self.state.is_last_turn
        async with aclosing(calls.streamed() if passes else calls.plain()) as events:
            async for event in events:
                self._streaming = self._streaming or isinstance(event, Delta)
                yield event
        yield self._conclude(calls, role, routing.policy_version)

    def _role(self, routing: Routing) -> tuple[Role, RoleSource]:
        if routing.degraded:
            return Role.SOLVER, RoleSource.FALLBACK
        decided = self.state.role_for(routing.role)
        if decided is None:
            raise EarlyVerifierError("A verifier was picked before any response.")
        return decided

    def _prepared(self, routing: Routing, role: Role) -> Turn:
        ordered = routing.candidates(role)
        left_usd = self._left_usd()
        payable = affordable(ordered, left_usd=left_usd, prompt_tokens=least_tokens(self._job.chat), completion_tokens=0)
        if not payable:
            raise BudgetExceededError(
                f"No allowed worker can be paid from the {left_usd or 0:g} US dollars that are left.",
                field="kubefugu.max_cost_usd",
            )
        return Turn(
            number=self.state.turn,
            role=role,
            policy_version=routing.policy_version,
            body=self._role_body(role),
            clients=[self._pool.client(worker.name) for worker in payable],
        )

    def _role_body(self, role: Role) -> Mapping[str, Any]:
        messages, state = self._job.chat.messages, self.state
        if role is Role.SOLVER:
            if not state.thoughts and state.suggestion is None:
                return self._body
            suggestion = state.suggestion.text if state.suggestion is not None else ""
            asked = solver_messages(messages, thoughts=state.thoughts, suggestion=suggestion)
        elif role is Role.THINKER:
            asked = thinker_messages(messages, response=state.response)
        else:
            asked = verifier_messages(messages, response=state.response or "")
        return role_body(self._body, role) | {"messages": asked}

    def _conclude(self, calls: TurnCalls, role: Role, policy_version: str) -> Event:
        """Hand the reply to the state machine; returns the turn's last event."""
        result = calls.answer
        if role is Role.THINKER:
            suggestion = self.state.advised(result.text)
            return calls.ended(Outcome.OK, suggested_role=suggestion.role if suggestion else None)
        if role is Role.VERIFIER:
            accepted = self.state.judged(result.text)
            return calls.ended(Outcome.ACCEPTED if accepted else Outcome.REJECTED)
        self._answer = _Answer(result, policy_version)
        self.state.solved(result.text, calls_tools=bool(result.reply is not None and result.reply.tool_calls))
        return calls.ended(Outcome.OK)

    async def _end(self) -> AsyncGenerator[Event, None]:
        """The answer's last frames, or the whole of it where it was not passed through."""
        if self._answer is None or self.state.stop is None:
            raise InternalError("The loop ended without an answer.")
        job, result = self._job, self._answer.result
        spent = self.ledger.spent(answer=result.call)
        explain = explanation(job, self._routed, self.state.stop) if job.chat.options.explain else None
        body = b""
        if job.chat.stream:
            frames = b""
            if result.reply is not None:
                frames = completion_frames(job, result.reply.completion)
            reported = result.reply.completion.get("usage") if result.reply is not None else result.usage_report
            yield Delta(frames + last_frames(job, spent, reported=reported, explain=explain))
        elif result.reply is not None:
            body = finished_completion(job, result.reply.completion, spent, explain=explain)
        yield Done(
            completion_json=body,
            spent=spent,
            worker=result.worker,
            role=Role.SOLVER,
            policy_version=self._answer.policy_version,
            turns=self.state.turn,
            stop_reason=self.state.stop,
        )


def _is_budget(error: KubefuguError) -> bool:
    """True: the turn did not fail, the request's money or time ran out."""
    return isinstance(error, BudgetExceededError) or error.metadata.get("limit") == "request"
