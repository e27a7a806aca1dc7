"""Runs a plan as a graph: every step starts when the steps that it sees have ended, not when the one before it has.

Nothing here calls anybody: `execute` does a step. The graph decides when, what it sees, and what a failure means. Cancelling
the run cancels every step that is under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from kubefugu_coordination.workflow.plan import Plan
from kubefugu_coordination.workflow.step_prompt import VisibleStep
from kubefugu_core.errors import KubefuguError


class StepOutcome(StrEnum):
    """How a step stands when the run ends."""

    OK = "ok"
    FAILED = "failed"
    """No allowed worker did it; steps that see it are told that its result is not available."""
    WAITING = "waiting"
    """Its worker asked for tools; it goes on when their results are there."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What came of a step."""

    outcome: StepOutcome
    output: str = ""
    worker: str = ""
    """Who did it in the end."""
    error: KubefuguError | None = None


Execute = Callable[[int, tuple[VisibleStep, ...]], Awaitable[StepResult]]
"""Does the step with this index, given exactly what it may see. A KubefuguError means that the step failed."""


def visible_steps(plan: Plan, index: int, results: Mapping[int, StepResult]) -> tuple[VisibleStep, ...]:
    """What a step sees: subtask and output of the steps in its access list, of no other."""
    seen = []
    for other in plan.steps[index].access:
        result = results[other]
        seen.append(VisibleStep(plan.steps[other].subtask, result.output if result.outcome is StepOutcome.OK else None))
    return tuple(seen)


async def run_graph(plan: Plan, execute: Execute, *, known: Mapping[int, StepResult] | None = None) -> dict[int, StepResult]:
    """Run the steps that `known` does not hold; returns the results of all that ran or were known.

    A failed step does not end the run, except for the last one, whose error is raised: without it there is no answer. Where a
    step waits for tools, everything that doesn't depend on it still runs, so that all tool calls are returned together; the
    steps behind it have no result.
    """
    run = _Run(plan, execute, dict(known or {}))
    try:
        async with asyncio.TaskGroup() as group:
            run.start_ready(group)
    except BaseExceptionGroup as errors:
        # Only defects get here, from one task each; their group says nothing more than they do.
        raise errors.exceptions[0] from None
    if run.fatal is not None:
        raise run.fatal
    return run.results


class _Run:
    """State of one run."""

    def __init__(self, plan: Plan, execute: Execute, results: dict[int, StepResult]) -> None:
        self.plan = plan
        self.results = results
        self.fatal: KubefuguError | None = None
        self._execute = execute
        self._started = set(results)

    def start_ready(self, group: asyncio.TaskGroup) -> None:
        """Start every step whose inputs have settled."""
        settled = {index for index, result in self.results.items() if result.outcome is not StepOutcome.WAITING}
        for index, step in enumerate(self.plan.steps):
            if index not in self._started and settled.issuperset(step.access):
                self._started.add(index)
                group.create_task(self._run(index, group), name=f"step-{index}")

    async def _run(self, index: int, group: asyncio.TaskGroup) -> None:
        try:
            self.results[index] = await self._execute(index, visible_steps(self.plan, index, self.results))
        except KubefuguError as error:
            if index == self.plan.final:
                self.fatal = error
                return
            self.results[index] = StepResult(StepOutcome.FAILED, error=error)
        self.start_ready(group)
