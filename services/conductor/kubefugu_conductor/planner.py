"""The planner call: ask a worker of the pool for a plan, read it, and give it one repair turn that shows what was wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from kubefugu_coordination.clock import Deadline
from kubefugu_coordination.workers import PoolSnapshot, TokenUsage, WorkerClient, WorkerReply
from kubefugu_coordination.workflow.diagnosis import LOSSES, Diagnosis
from kubefugu_coordination.workflow.offer import CONDUCTOR
from kubefugu_coordination.workflow.planner_prompt import PlanFormat, planner_messages, repair_messages
from kubefugu_coordination.workflow.planning import Planning, PlanningRequest
from kubefugu_coordination.workflow.schema import plan_schema
from kubefugu_coordination.workflow.validate import PlanReading, read_plan
from kubefugu_core.errors import (
    InvalidPlanError,
    InvalidRequestError,
    KubefuguError,
    NoWorkerAvailableError,
    WorkerRejectedRequestError,
)
from kubefugu_core.pool import Capability, WorkerSpec

_log = structlog.get_logger()
_CHARS_PER_TOKEN = 3
_PROMPT_TOKENS = 1500
"""Tokens that rules, examples and the pool's description take, roughly."""
_TOLD_DIAGNOSES = 16
"""Diagnoses that travel with an error: trailing metadata is bounded by a few kilobytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannerOptions:
    """How planners are asked; the fields are those of ConductorSettings."""

    planner: str = ""
    max_output_tokens: int = 1024
    max_subtask_chars: int = 400
    temperature: float = 0.0
    constrained: bool = True


@dataclass(slots=True)
class _Attempt:
    reply: str
    reading: PlanReading

    @property
    def losses(self) -> float:
        """What speaks for a repair turn: notes of lost work; infinite where there is no plan at all."""
        if self.reading.plan is None:
            return float("inf")
        return sum(found.code in LOSSES for found in self.reading.diagnoses)


class PoolPlanner:
    """Plans by a worker of the pool. Implements `PlannerPort`."""

    def __init__(self, snapshot: Callable[[], PoolSnapshot], options: PlannerOptions) -> None:
        self._snapshot = snapshot
        self._options = options
        # Specs whose server refused the schema; a changed pool entry is a new spec and is tried again.
        self._no_schema: set[WorkerSpec] = set()

    async def plan(self, request: PlanningRequest, *, deadline: Deadline) -> Planning:
        """See PlannerPort. At most two planner calls, one more where the server turns the schema down."""
        if not request.workers:
            raise InvalidRequestError("No workers are offered to the planner.", field="workers")
        client = self._client(request)
        call = _PlannerCall(client, request, self._options, deadline)
        constrained = self._options.constrained and Capability.JSON_SCHEMA in client.spec.capabilities
        constrained = constrained and client.spec not in self._no_schema
        try:
            first, asked, constrained = await self._first(call, constrained)
            if not first.losses:
                return call.planning(first, repaired=False, before=())
            second = await self._repair(call, first, asked, constrained)
        except KubefuguError as error:
            # What was spent must be charged although no plan comes of it.
            error.metadata.setdefault("usage", call.usage_json())
            raise
        if second.losses < first.losses:
            return call.planning(second, repaired=True, before=first.reading.diagnoses)
        if first.reading.plan is not None:
            return call.planning(first, repaired=False, before=())
        raise _invalid(client.name, second.reading.diagnoses, call.usage_json())

    async def _repair(
        self, call: _PlannerCall, first: _Attempt, asked: Sequence[Mapping[str, str]], constrained: bool
    ) -> _Attempt:
        """The one repair turn. A plan that only loses something stands where its repair fails."""
        try:
            return await call.attempt(repair_messages(asked, first.reply, first.reading.diagnoses), constrained)
        except KubefuguError as error:
            if first.reading.plan is None:
                raise
            _log.warning("plan_not_repaired", worker=call.client.name, reason=type(error).__name__)
            return first

    async def _first(self, call: _PlannerCall, constrained: bool) -> tuple[_Attempt, list[dict[str, str]], bool]:
        asked = call.question(constrained)
        try:
            return await call.attempt(asked, constrained), asked, constrained
        except WorkerRejectedRequestError as error:
            if not constrained:
                raise
            _log.warning("planner_refused_schema", worker=call.client.name, status=error.metadata.get("status"))
        asked = call.question(False)
        attempt = await call.attempt(asked, False)
        self._no_schema.add(call.client.spec)
        return attempt, asked, False

    def _client(self, request: PlanningRequest) -> WorkerClient:
        snapshot = self._snapshot()
        if request.planner:
            if request.planner in request.denied:
                raise InvalidRequestError(f"The planner {request.planner!r} is denied.", field="kubefugu.planner")
            if request.planner not in snapshot.clients:
                message = f"The pool {snapshot.name} has no worker {request.planner!r} that could plan."
                raise InvalidRequestError(message, field="kubefugu.planner")
            return snapshot.clients[request.planner]
        named = self._options.planner or snapshot.pool.spec.routing.planner
        order = default_planners(snapshot.pool.spec.workers, named=named)
        for name in order:
            if name not in request.denied:
                return snapshot.clients[name]
        raise NoWorkerAvailableError("Every worker that could plan is denied.")


def default_planners(workers: Sequence[WorkerSpec], *, named: str) -> list[str]:
    """Workers that may plan where the request names none, best first: the named one alone if there is one in the pool, else
    all that are no specialists, those that decode under a schema first."""
    names = [worker.name for worker in workers]
    if named:
        return [named] if named in names else []
    general = [worker for worker in workers if not worker.specialist]
    return [worker.name for worker in sorted(general, key=lambda worker: Capability.JSON_SCHEMA not in worker.capabilities)]


class _PlannerCall:
    """The calls of one planning: builds requests, sums what they spend, reads the replies."""

    def __init__(self, client: WorkerClient, request: PlanningRequest, options: PlannerOptions, deadline: Deadline) -> None:
        self.client = client
        self.usage = TokenUsage()
        self.cost_usd = 0.0
        self._request = request
        self._options = options
        self._deadline = deadline
        self._workers = [*request.workers, *([CONDUCTOR] if request.allow_recursion else [])]
        self._narrow = frozenset(worker.name for worker in self._workers if worker.narrow)
        self._max_output_tokens = request.max_output_tokens or options.max_output_tokens

    def question(self, constrained: bool) -> list[dict[str, str]]:
        """The chat that asks for the plan."""
        room_tokens = self.client.spec.context_tokens - self._max_output_tokens - _PROMPT_TOKENS
        return planner_messages(
            self._request.messages,
            workers=self._workers,
            max_steps=self._request.max_steps,
            output=PlanFormat.JSON if constrained else PlanFormat.LISTS,
            max_task_chars=max(1_000, room_tokens * _CHARS_PER_TOKEN),
            memory=self._request.memory,
        )

    async def attempt(self, messages: Sequence[Mapping[str, str]], constrained: bool) -> _Attempt:
        """One call and what its output amounts to."""
        body: dict[str, Any] = {
            "messages": list(messages),
            "max_tokens": self._max_output_tokens,
            "temperature": self._options.temperature,
        }
        if constrained:
            schema = plan_schema(
                [worker.name for worker in self._workers],
                max_steps=self._request.max_steps,
                max_subtask_chars=self._options.max_subtask_chars,
                narrow=self._narrow,
            )
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "plan", "schema": schema}}
        reply = await self.client.complete(body, deadline=self._deadline)
        self._charge(reply)
        names = [worker.name for worker in self._workers]
        reading = read_plan(reply.text, workers=names, max_steps=self._request.max_steps, narrow=self._narrow)
        return _Attempt(reply.text, reading)

    def _charge(self, reply: WorkerReply) -> None:
        self.cost_usd += reply.cost_usd
        self.usage = TokenUsage(
            self.usage.prompt_tokens + reply.usage.prompt_tokens,
            self.usage.completion_tokens + reply.usage.completion_tokens,
            self.usage.estimated or reply.usage.estimated,
        )

    def usage_json(self) -> str:
        """What was spent, as it travels with an error."""
        usage = self.usage
        spent = {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens, "cost_usd": self.cost_usd}
        return json.dumps(spent)

    def planning(self, attempt: _Attempt, *, repaired: bool, before: tuple[Diagnosis, ...]) -> Planning:
        """The result of an accepted output."""
        if attempt.reading.plan is None:
            raise ValueError("only an accepted output makes a planning")
        _log.info(
            "planned",
            planner=self.client.name,
            steps=len(attempt.reading.plan.steps),
            repaired=repaired,
            codes=[found.code.value for found in (*before, *attempt.reading.diagnoses)],
        )
        return Planning(
            plan=attempt.reading.plan,
            notes=(*before, *attempt.reading.diagnoses),
            repaired=repaired,
            planner=self.client.name,
            usage=self.usage,
            cost_usd=self.cost_usd,
        )


def _invalid(planner: str, diagnoses: Sequence[Diagnosis], usage_json: str) -> InvalidPlanError:
    codes = ", ".join(dict.fromkeys(found.code.value for found in diagnoses))
    _log.warning("plan_invalid", planner=planner, codes=codes)
    told = [found.to_json() for found in diagnoses[:_TOLD_DIAGNOSES]]
    return InvalidPlanError(
        f"The planner {planner} wrote no valid plan, not in its repair turn either ({codes}).",
        metadata={
            "planner": planner,
            "diagnoses": json.dumps(told, ensure_ascii=True),
            "usage": usage_json,
        },
    )
