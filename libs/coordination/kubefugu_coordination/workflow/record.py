"""A workflow as data for decision records and explanations: the graph, who saw what, timings, tokens and cost of each step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson

from kubefugu_coordination.events import Event, Parked, PlanFailed, Planned, Resumed, StepEnded, StepStarted
from kubefugu_coordination.telling import error_object, usage_members
from kubefugu_coordination.workflow.plan import Plan
from kubefugu_coordination.workflow.svg import StepFacts, plan_svg


class WorkflowRecord:
    """Collects the events of one request's workflow. Subtasks and replies are content: kept only where it is switched on."""

    def __init__(self, *, keep_content: bool = False) -> None:
        self._keep_content = keep_content
        self._plans: list[dict[str, Any]] = []
        self._calls: list[dict[str, Any]] = []
        self._failed: dict[str, Any] | None = None
        self._parked: dict[str, Any] | None = None
        self._resumed: dict[str, Any] | None = None

    def note(self, event: Event) -> None:
        """Take an event in; events of other kinds are ignored."""
        match event:
            case Planned():
                self._plans.append(self._planned(event))
            case PlanFailed():
                error = error_object(event.error, keep_content=self._keep_content)
                failure = {"path": event.path, "error": error, **_spent(event)}
                failure["diagnoses"] = self._diagnoses(json.loads(event.error.metadata.get("diagnoses", "[]")))
                if event.path == "":
                    self._failed = failure
                else:
                    self._plans.append(failure)
            case StepStarted():
                call = {"path": event.path, "step": event.step, "worker": event.worker, "outcome": None}
                self._calls.append(call | {"started_ms": round(event.at_ms, 3)})
            case StepEnded():
                self._ended(event)
            case Parked():
                self._parked = {
                    "workflow": event.workflow_id,
                    "tool_calls": event.tool_calls,
                    "expires_in_s": event.expires_in_s,
                }
            case Resumed():
                plan = self._graph(orjson.loads(event.plan_json))
                self._plans.append({"path": "", "planner": event.planner, **plan, "done_before": list(event.done_steps)})
                self._resumed = {"workflow": event.workflow_id, "decisions": list(event.decisions)}

    def _planned(self, event: Planned) -> dict[str, Any]:
        return {
            "path": event.path,
            "planner": event.planner,
            "version": event.version or None,
            "repaired": event.repaired,
            "diagnoses": self._diagnoses([found.to_json() for found in event.notes]),
            **self._graph(orjson.loads(event.plan_json)),
            **_spent(event),
        }

    def _graph(self, plan: dict[str, Any]) -> dict[str, Any]:
        kept = ("worker", "subtask", "access") if self._keep_content else ("worker", "access")
        return {"steps": [{name: step[name] for name in kept} for step in plan["steps"]]}

    def _diagnoses(self, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """A diagnosis may quote what the planner wrote."""
        return found if self._keep_content else [{"code": one["code"], "step": one["step"]} for one in found]

    def _ended(self, event: StepEnded) -> None:
        ended: dict[str, Any] = {"outcome": event.outcome.value, **_spent(event)}
        if event.error is not None:
            ended["error"] = error_object(event.error, keep_content=self._keep_content)
        if event.tool_calls:
            ended["tool_calls"] = event.tool_calls
        if self._keep_content:
            ended["text"] = event.text
        for call in reversed(self._calls):
            if (call["path"], call["step"], call["worker"], call["outcome"]) == (event.path, event.step, event.worker, None):
                call.update(ended)
                return
        self._calls.append({"path": event.path, "step": event.step, "worker": event.worker} | ended)

    @property
    def fallback(self) -> str | None:
        """Why the request fell back to the loop (reason of the error table); None where it did not."""
        return None if self._failed is None else str(self._failed["error"]["reason"])

    def document(self) -> dict[str, Any] | None:
        """`plans` are graphs (the request's own first), `calls` the worker calls of their steps in the order of their starts;
        None where nothing of a workflow happened."""
        if not (self._plans or self._calls or self._failed):
            return None
        return {
            "fallback": self._failed,
            "plans": self._plans,
            "calls": self._calls,
            "resumed": self._resumed,
            "parked": self._parked,
        }


def record_svg(workflow: Mapping[str, Any]) -> str | None:
    """The picture of a recorded workflow (the object that `document` gives); None where it has no plan of its own."""
    graph = next((plan for plan in workflow["plans"] if plan["path"] == "" and "steps" in plan), None)
    if graph is None:
        return None
    steps = [
        {"worker": s["worker"], "subtask": s.get("subtask") or "(not recorded)", "access": s["access"]} for s in graph["steps"]
    ]
    facts: dict[int, StepFacts] = {}
    for index in range(len(steps)):
        calls = [call for call in workflow["calls"] if (call["path"], call["step"]) == ("", index)]
        if calls:
            facts[index] = _facts(calls)
        elif index in graph.get("done_before", ()):
            facts[index] = StepFacts(outcome="ok")
    return plan_svg(Plan.from_json({"steps": steps}), facts)


def _facts(calls: list[dict[str, Any]]) -> StepFacts:
    last = calls[-1]
    outcome = {"ok": "ok", "waiting": "waiting"}.get(str(last["outcome"]), "failed")
    return StepFacts(
        outcome=outcome,
        done_by=last["worker"],
        duration_s=sum(call.get("duration_ms", 0.0) for call in calls) / 1e3,
        tokens=sum(
            sum(call["usage"][kind] for kind in ("prompt_tokens", "completion_tokens")) for call in calls if "usage" in call
        ),
        cost_usd=sum(call.get("cost_usd", 0.0) for call in calls),
    )


def _spent(event: Planned | PlanFailed | StepEnded) -> dict[str, Any]:
    return {"duration_ms": round(event.duration_ms, 3), "usage": usage_members(event.usage), "cost_usd": event.cost_usd}
