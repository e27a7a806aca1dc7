"""Run workflows against scripted workers: the planner is a real Conductor planner over a scripted worker of its own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from kubefugu_conductor.planner import PoolPlanner
from kubefugu_conductor.planner_call import PlannerOptions
from kubefugu_coordination.clock import Deadline
from kubefugu_coordination.events import Parked, Planned, StepEnded
from kubefugu_coordination.job import Job
from kubefugu_coordination.loop.router import Router
from kubefugu_coordination.memory import ToolCallMemory
from kubefugu_coordination.workers import RetryPolicy, WorkerSet
from kubefugu_coordination.workflow.parking import ParkingLot
from kubefugu_coordination.workflow.record import WorkflowRecord
from kubefugu_coordination.workflow.runner import WorkflowParts, WorkflowRun
from kubefugu_coordination.workflow.settings import WorkflowSettings
from support.loops import Run, Stage, chat, stage
from support.pools import CLOCK, pool_of, worker
from support.upstream import Script

Entry = Sequence[int | str] | str


def plan_text(*steps: tuple[int, str, Entry]) -> str:
    """A planner's output: (worker id, subtask, access) of each step."""
    lists = ([step[0] for step in steps], [step[1] for step in steps], [step[2] for step in steps])
    return "\n".join(
        f"{label}: {json.dumps(value)}" for label, value in zip(("model_id", "subtasks", "access_list"), lists, strict=True)
    )


def ultra(question: str = "What is it?", **members: Any) -> Job:
    """A parsed request for a workflow."""
    return chat(question, model="fugu-ultra", **members)


@dataclass
class Workflows:
    """A stage with a planner beside it."""

    stage: Stage
    planner: PoolPlanner
    router: Router
    parking: ParkingLot | None = None
    memory: ToolCallMemory | None = None

    def plan(self, *outputs: str | Script) -> None:
        """What the planner writes, in order; the last one is repeated."""
        self.stage.say("planner", *outputs)

    def run_of(self, job: Job, *, seconds: float = 20, **settings: Any) -> WorkflowRun:
        parts = WorkflowParts(
            planner=self.planner,
            router=self.router,
            parking=self.parking,
            memory=self.memory,
            settings=WorkflowSettings(**settings),
        )
        return WorkflowRun(job, pool=self.stage.workers.snapshot(), parts=parts, deadline=Deadline.after(seconds, CLOCK))

    async def run(self, job: Job, **options: Any) -> WorkflowResult:
        result = WorkflowResult([])
        try:
            async with aclosing(self.run_of(job, **options).events()) as events:
                async for event in events:
                    result.events.append(event)
        except Exception as error:
            result.error = error
        return result


class WorkflowResult(Run):
    """What a run gave, step by step."""

    @property
    def steps(self) -> list[tuple[str, str, str]]:
        """(path and step, worker, outcome) of every call, in the order of their ends."""
        return [(f"{e.path}{e.step}", e.worker, e.outcome.value) for e in self.events if isinstance(e, StepEnded)]

    @property
    def planned(self) -> list[Planned]:
        return [event for event in self.events if isinstance(event, Planned)]

    @property
    def parked(self) -> list[Parked]:
        return [event for event in self.events if isinstance(event, Parked)]

    @property
    def record(self) -> dict[str, Any]:
        record = WorkflowRecord(keep_content=True)
        for event in self.events:
            record.note(event)
        document = record.document()
        assert document is not None
        return document


@asynccontextmanager
async def workflows(
    *names: str, router: Router, members: dict[str, dict[str, Any]] | None = None, **routing: Any
) -> AsyncIterator[Workflows]:
    """A stage of these workers and a planner that is none of them."""
    async with stage(*names, members=members, **routing) as made:
        planners = WorkerSet(pool_of(worker("planner", made.upstream.url)), retry=RetryPolicy(attempts=1))
        try:
            yield Workflows(made, PoolPlanner(planners.snapshot, PlannerOptions()), router)
        finally:
            await planners.close()


def said(body: dict[str, Any]) -> str:
    """The text of a whole prompt."""
    return "\n".join(str(message.get("content")) for message in body["messages"])


def subtask_of(body: dict[str, Any]) -> str:
    """What the worker is to do, as its last user message says."""
    asked = str(next(m["content"] for m in reversed(body["messages"]) if m["role"] == "user"))
    return asked.rpartition("Do only this part now: ")[2]
