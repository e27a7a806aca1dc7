"""Builds one request's decision record from its events. The JSON it gives is documented in docs/api.md, decision records.

No prompt or reply is in it unless content is switched on, nor what a worker wrote into an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson

from kubefugu_coordination.capabilities import Exclusion
from kubefugu_coordination.events import (
    Done,
    Event,
    Outcome,
    PlanFailed,
    Planned,
    Routed,
    StepEnded,
    TurnEnded,
    TurnStarted,
)
from kubefugu_coordination.job import Job
from kubefugu_coordination.loop.explain import routed_object
from kubefugu_coordination.spend import Spent
from kubefugu_coordination.telling import error_object, usage_members
from kubefugu_coordination.workers.reply import TokenUsage
from kubefugu_coordination.workflow.record import WorkflowRecord
from kubefugu_core.errors import KubefuguError, RequestCancelledError, spec_of
from kubefugu_core.options import Mode


class RecordStatus(StrEnum):
    """How a request ended."""

    OK = "ok"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(slots=True)
class _Turn:
    number: int
    routing: dict[str, Any] | None = None
    attempts: list[dict[str, Any]] = field(default_factory=list)


class DecisionRecorder:
    """Collects one request's events. `finish` must be called once, whatever happened; later calls are ignored."""

    def __init__(self, job: Job, *, pool: str, started_at: float, keep_content: bool = False) -> None:
        self.job = job
        self.mode = Mode.FUGU
        """What the model's name turned out to mean."""
        self.pool = pool
        self.policy_version = ""
        self.planner_version = ""
        """Version of the trained Conductor that was asked for the plan; empty for any other planner."""
        self.plan_failed = False
        self.declined = 0
        self.status: RecordStatus | None = None
        self.started_at = started_at
        self._keep_content = keep_content
        self._excluded: tuple[Exclusion, ...] = ()
        self._limits: dict[str, Any] = {}
        self._turns: list[_Turn] = []
        self._open: TurnStarted | None = None
        self._workflow = WorkflowRecord(keep_content=keep_content)
        self._done: Done | None = None
        self._error: BaseException | None = None
        self._first_byte_ms: float | None = None
        self._duration_ms = 0.0
        self._usages: list[TokenUsage] = []
        self._cost_usd = 0.0

    def prepared(
        self,
        *,
        excluded: tuple[Exclusion, ...] = (),
        max_turns: int = 1,
        max_steps: int | None = None,
        max_cost_usd: float | None = None,
    ) -> None:
        """Note what was decided before the first turn; `max_steps` for workflows."""
        self._excluded = excluded
        self._limits = {"max_turns": max_turns, "max_steps": max_steps, "max_cost_usd": max_cost_usd}

    def note_delta(self, elapsed_s: float) -> None:
        """A piece of the answer left, `elapsed_s` after the request began; only the first one counts."""
        if self._first_byte_ms is None:
            self._first_byte_ms = elapsed_s * 1e3

    def note(self, event: Event) -> None:
        """Take any other event in."""
        if isinstance(event, Routed):
            self._turns.append(_Turn(event.turn, routed_object(event)))
            self.policy_version = self.policy_version or event.policy_version
        elif isinstance(event, TurnStarted):
            self._open = event
        elif isinstance(event, TurnEnded):
            self._end_turn(event)
        elif isinstance(event, Done):
            self._done = event
        else:
            self._workflow.note(event)
            self._note_planner(event)
            if isinstance(event, Planned | PlanFailed | StepEnded):
                self._usages.append(event.usage)
                self._cost_usd += event.cost_usd
                self.declined += isinstance(event, StepEnded) and event.outcome is Outcome.DECLINED

    def _note_planner(self, event: Event) -> None:
        if isinstance(event, Planned) and event.path == "":
            self.planner_version = event.version
        elif isinstance(event, PlanFailed) and event.path == "":
            self.planner_version = event.error.metadata.get("policy_version", "")
            self.plan_failed = True

    def finish(self, error: BaseException | None, *, elapsed_ms: float) -> bool:
        """Close the record; True the first time. A cancelled request is one whose error is no KubefuguError, or says so."""
        if self.status is not None:
            return False
        self._error = error
        self._duration_ms = elapsed_ms
        cancelled = isinstance(error, RequestCancelledError) or (error is not None and not isinstance(error, Exception))
        if error is None and self._done is not None:
            self.status = RecordStatus.OK
        else:
            self.status = RecordStatus.CANCELLED if cancelled or error is None else RecordStatus.FAILED
        if self._open is not None:
            self._cut_open_turn(self._open, error)
        return True

    def _turn(self, number: int) -> _Turn:
        if not self._turns or self._turns[-1].number != number:
            self._turns.append(_Turn(number))
        return self._turns[-1]

    def _cut_open_turn(self, started: TurnStarted, error: BaseException | None) -> None:
        reason = spec_of(error).reason if isinstance(error, KubefuguError) else "CANCELLED"
        self._turn(started.turn).attempts.append(
            {
                "attempt": started.attempt,
                "worker": started.worker,
                "role": started.role.value,
                "outcome": "cancelled" if self.status is RecordStatus.CANCELLED else Outcome.FAILED.value,
                "error": {"reason": reason, "message": "The request ended while the worker was at work."},
            }
        )

    def _end_turn(self, event: TurnEnded) -> None:
        self._open = None
        self.declined += event.outcome is Outcome.DECLINED
        self._usages.append(event.usage)
        self._cost_usd += event.cost_usd
        attempt: dict[str, Any] = {
            "attempt": event.attempt,
            "worker": event.worker,
            "role": event.role.value,
            "outcome": event.outcome.value,
            "duration_ms": round(event.duration_ms, 3),
            "first_token_ms": None if event.first_token_ms is None else round(event.first_token_ms, 3),
            "usage": usage_members(event.usage),
            "cost_usd": event.cost_usd,
        }
        if event.error is not None:
            attempt["error"] = self._error_object(event.error)
        if event.suggested_role is not None:
            attempt["suggested_role"] = event.suggested_role.value
        if self._keep_content:
            attempt["text"] = event.text
        self._turn(event.turn).attempts.append(attempt)

    def document(self) -> dict[str, Any]:
        """The record as plain data."""
        job, done = self.job, self._done
        record: dict[str, Any] = {
            "id": job.request_id,
            "object": "kubefugu.decision",
            "created": self.started_at,
            "tenant": job.tenant,
            "pool": self.pool,
            "model": job.chat.model,
            "mode": self.mode.value,
            "stream": job.chat.stream,
            "status": self.status.value if self.status is not None else "running",
            "stop_reason": done.stop_reason.value if done is not None else None,
            "error": self._error_object(self._error) if self._error is not None else None,
            "worker": done.worker if done is not None else None,
            "role": done.role.value if done is not None else None,
            "policy_version": self.policy_version or self.planner_version or None,
            "degraded": next((t.routing["degraded"] for t in self._turns if t.routing and t.routing["degraded"]), None),
            "limits": self._limits,
            "excluded": [{"worker": exclusion.worker, "because": exclusion.because} for exclusion in self._excluded],
            "turns": [{"turn": t.number, "routing": t.routing, "attempts": t.attempts} for t in self._turns],
            "workflow": self._workflow.document(),
            "usage": self._spent(),
            "duration_ms": round(self._duration_ms, 3),
            "first_byte_ms": None if self._first_byte_ms is None else round(self._first_byte_ms, 3),
        }
        if self._keep_content:
            record["messages"] = job.chat.messages
        return record

    def render(self) -> bytes:
        """The record as JSON."""
        return orjson.dumps(self.document())

    def _error_object(self, error: BaseException) -> dict[str, Any]:
        return error_object(error, keep_content=self._keep_content)

    def _spent(self) -> dict[str, Any]:
        """Totals: the loop's own where the request ended with an answer, else what its ended calls add up to."""
        if self._done is not None:
            spent = self._done.spent
        else:
            spent = Spent(
                prompt_tokens=sum(usage.prompt_tokens for usage in self._usages),
                completion_tokens=sum(usage.completion_tokens for usage in self._usages),
                cost_usd=self._cost_usd,
                estimated=any(usage.estimated for usage in self._usages),
            )
        return {
            "prompt_tokens": spent.prompt_tokens,
            "completion_tokens": spent.completion_tokens,
            "orchestration_input_tokens": spent.orchestration_input_tokens,
            "orchestration_output_tokens": spent.orchestration_output_tokens,
            "cost_usd": spent.cost_usd,
            "estimated": spent.estimated,
        }
