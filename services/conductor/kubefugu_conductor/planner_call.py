"""The calls of one planning: builds the prompts, sums what they spend, reads the replies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from kubefugu_conductor.writers import PlanWriter, Writing, Written
from kubefugu_coordination.clock import Deadline
from kubefugu_coordination.workers import TokenUsage
from kubefugu_coordination.workflow.diagnosis import LOSSES, Diagnosis
from kubefugu_coordination.workflow.offer import CONDUCTOR
from kubefugu_coordination.workflow.planner_prompt import PlanFormat, PromptStyle, planner_messages, repair_messages
from kubefugu_coordination.workflow.planning import Planning, PlanningRequest
from kubefugu_coordination.workflow.schema import plan_schema
from kubefugu_coordination.workflow.validate import PlanReading, read_plan

_log = structlog.get_logger()
_CHARS_PER_TOKEN = 3
_PROMPT_TOKENS = dict.fromkeys(PromptStyle, 300) | {PromptStyle.FULL: 1500}
"""Tokens that rules, examples and the pool's description take, roughly."""
_DRAW_AGAIN_TEMPERATURE = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannerOptions:
    """How planners are asked; the fields are those of ConductorSettings."""

    planner: str = ""
    max_output_tokens: int = 1024
    max_subtask_chars: int = 400
    temperature: float = 0.0
    constrained: bool = True


@dataclass(slots=True)
class Attempt:
    """An output and what it amounts to."""

    reply: str
    reading: PlanReading

    @property
    def losses(self) -> float:
        """What speaks for a repair turn: notes of lost work; infinite where there is no plan at all."""
        if self.reading.plan is None:
            return float("inf")
        return sum(found.code in LOSSES for found in self.reading.diagnoses)


class PlannerCall:
    """The calls of one planning: builds requests, sums what they spend, reads the replies."""

    def __init__(self, writer: PlanWriter, request: PlanningRequest, options: PlannerOptions, deadline: Deadline) -> None:
        self.writer = writer
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
        room_tokens = self.writer.context_tokens - self._max_output_tokens - _PROMPT_TOKENS[self.writer.style]
        return planner_messages(
            self._request.messages,
            workers=self._workers,
            max_steps=min(self._request.max_steps, self.writer.max_steps or self._request.max_steps),
            style=self.writer.style,
            output=PlanFormat.JSON if constrained else PlanFormat.LISTS,
            max_task_chars=max(1_000, room_tokens * _CHARS_PER_TOKEN),
            memory=self._request.memory,
        )

    async def attempt(self, messages: Sequence[Mapping[str, str]], constrained: bool, *, again: bool = False) -> Attempt:
        """One call and what its output amounts to. `again`: another draw, for a planner that knows no repair turn."""
        request, seed = self._request, self._request.seed
        names = [worker.name for worker in self._workers]
        schema = None
        if constrained:
            limit = self._options.max_subtask_chars
            schema = plan_schema(names, max_steps=request.max_steps, max_subtask_chars=limit, narrow=self._narrow)
        temperature = self._options.temperature
        writing = Writing(
            messages=messages,
            max_tokens=self._max_output_tokens,
            temperature=max(temperature, _DRAW_AGAIN_TEMPERATURE) if again else temperature,
            seed=seed + 1 if again and seed is not None else seed,
            schema=schema,
        )
        written = await self.writer.write(writing, deadline=self._deadline)
        self._charge(written)
        return Attempt(written.text, read_plan(written.text, workers=names, max_steps=request.max_steps, narrow=self._narrow))

    async def repair(self, first: Attempt, asked: Sequence[Mapping[str, str]], constrained: bool) -> Attempt:
        """The repair turn: what was wrong is shown. A planner trained on the bare task draws another plan instead."""
        if self.writer.style is not PromptStyle.FULL:
            return await self.attempt(asked, constrained, again=True)
        return await self.attempt(repair_messages(asked, first.reply, first.reading.diagnoses), constrained)

    def _charge(self, written: Written) -> None:
        self.cost_usd += written.cost_usd
        self.usage = TokenUsage(
            self.usage.prompt_tokens + written.usage.prompt_tokens,
            self.usage.completion_tokens + written.usage.completion_tokens,
            self.usage.estimated or written.usage.estimated,
        )

    def usage_json(self) -> str:
        """What was spent, as it travels with an error."""
        usage = self.usage
        spent = {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens, "cost_usd": self.cost_usd}
        return json.dumps(spent)

    def planning(self, attempt: Attempt, *, repaired: bool, before: tuple[Diagnosis, ...]) -> Planning:
        """The result of an accepted output."""
        if attempt.reading.plan is None:
            raise ValueError("only an accepted output makes a planning")
        _log.info(
            "planned",
            planner=self.writer.name,
            version=self.writer.version,
            steps=len(attempt.reading.plan.steps),
            repaired=repaired,
            codes=[found.code.value for found in (*before, *attempt.reading.diagnoses)],
        )
        return Planning(
            plan=attempt.reading.plan,
            notes=(*before, *attempt.reading.diagnoses),
            repaired=repaired,
            planner=self.writer.name,
            version=self.writer.version,
            usage=self.usage,
            cost_usd=self.cost_usd,
        )
