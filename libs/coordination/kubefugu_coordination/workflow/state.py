"""Where a workflow stands when it waits for tools: everything that is needed to go on elsewhere, as plain data.

The client's conversation is not in it; the client sends it again with the tool results, as with any chat completion.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kubefugu_coordination.workflow.budget import Carried
from kubefugu_coordination.workflow.graph import StepOutcome, StepResult
from kubefugu_coordination.workflow.plan import Plan
from kubefugu_core.errors import from_reason, spec_of

VERSION = 1


@dataclass(frozen=True, slots=True)
class WaitingStep:
    """A step whose worker called tools, or one that became a workflow of its own which waits."""

    worker: str
    transcript: tuple[dict[str, Any], ...] = ()
    """Messages behind the step's prompt: the worker's calls so far and their results; the last one holds the open calls."""
    calls: Mapping[int, str] = field(default_factory=dict)
    """Open calls: number in the parked workflow -> the worker's own id of the call."""
    child: GraphState | None = None

    def answered(self, results: Mapping[int, Any]) -> tuple[dict[str, Any], ...]:
        """The transcript with the results of the open calls; `results` holds message contents by call number."""
        tools = ({"role": "tool", "tool_call_id": own, "content": results[call]} for call, own in self.calls.items())
        return (*self.transcript, *tools)


@dataclass(frozen=True, slots=True)
class GraphState:
    """A plan and how far it has come. Steps that are in neither map have not begun."""

    plan: Plan
    results: Mapping[int, StepResult] = field(default_factory=dict)
    """Settled steps."""
    waiting: Mapping[int, WaitingStep] = field(default_factory=dict)

    def open_calls(self) -> Iterator[int]:
        """Numbers of every call that is waited for, those of workflows below included."""
        for step in self.waiting.values():
            yield from step.calls
            if step.child is not None:
                yield from step.child.open_calls()

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "plan": self.plan.to_json(),
            "results": {str(index): _result_json(result) for index, result in self.results.items()},
            "waiting": {str(index): _waiting_json(step) for index, step in self.waiting.items()},
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> GraphState:
        """The inverse of `to_json`."""
        return cls(
            Plan.from_json(document["plan"]),
            {int(index): _result(found) for index, found in document["results"].items()},
            {int(index): _waiting(found) for index, found in document["waiting"].items()},
        )


@dataclass(frozen=True, slots=True)
class ParkedWorkflow:
    """What is stored under a workflow's id."""

    state: GraphState
    planner: str
    memory: str
    """The text of earlier tool calls that its steps see; kept, so that a resumed step sees what it saw before."""
    lineage: tuple[str, ...]
    """Ids under which the same workflow waited before, oldest first: their messages are part of its past, not of the task."""
    decisions: tuple[str, ...]
    """Decision ids of the requests so far."""
    carried: Carried = Carried()  # noqa: RUF009 - frozen

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        carried = self.carried
        return {
            "version": VERSION,
            "state": self.state.to_json(),
            "planner": self.planner,
            "memory": self.memory,
            "lineage": list(self.lineage),
            "decisions": list(self.decisions),
            "carried": [carried.steps, carried.tokens, carried.cost_usd],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ParkedWorkflow:
        """The inverse of `to_json`. Raises ValueError for a version that this one cannot read."""
        if document.get("version") != VERSION:
            raise ValueError(f"a parked workflow of version {document.get('version')!r}")
        steps, tokens, cost_usd = document["carried"]
        return cls(
            GraphState.from_json(document["state"]),
            document["planner"],
            document["memory"],
            tuple(document["lineage"]),
            tuple(document["decisions"]),
            Carried(steps, tokens, cost_usd),
        )


def _result_json(result: StepResult) -> dict[str, Any]:
    error = None if result.error is None else [spec_of(result.error).reason, result.error.message]
    return {"outcome": result.outcome.value, "output": result.output, "worker": result.worker, "error": error}


def _result(found: Mapping[str, Any]) -> StepResult:
    error = None if found["error"] is None else from_reason(found["error"][0], found["error"][1])
    return StepResult(StepOutcome(found["outcome"]), found["output"], found["worker"], error)


def _waiting_json(step: WaitingStep) -> dict[str, Any]:
    return {
        "worker": step.worker,
        "transcript": list(step.transcript),
        "calls": {str(call): own for call, own in step.calls.items()},
        "child": None if step.child is None else step.child.to_json(),
    }


def _waiting(found: Mapping[str, Any]) -> WaitingStep:
    child = None if found["child"] is None else GraphState.from_json(found["child"])
    calls = {int(call): own for call, own in found["calls"].items()}
    return WaitingStep(found["worker"], tuple(found["transcript"]), calls, child)
