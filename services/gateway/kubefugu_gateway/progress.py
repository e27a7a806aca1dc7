"""Typed progress: executor events as chunks with no choices, so that clients which know only OpenAI's skip them.

Sent where the request says `kubefugu.progress`; described in docs/api.md.
"""

from __future__ import annotations

from typing import Any

import orjson

from kubefugu.common.v1 import common_pb2
from kubefugu.executor.v1 import executor_pb2
from kubefugu_gateway import sse

_OUTCOME_PREFIX = "TURN_OUTCOME_"
_ROLE_PREFIX = "ROLE_"


def role_name(role: common_pb2.Role.ValueType) -> str | None:
    """solver, thinker or verifier; None where it is not set."""
    if role == common_pb2.ROLE_UNSPECIFIED:
        return None
    return common_pb2.Role.Name(role).removeprefix(_ROLE_PREFIX).lower()


def typed_event(event: executor_pb2.ExecuteResponse, *, request_id: str, created: int, model: str) -> bytes | None:
    """The SSE event for one executor event, or None for those that are no progress (delta, done)."""
    kind = event.WhichOneof("event")
    describe = _DESCRIBE.get(kind or "")
    if kind is None or describe is None:
        return None
    return sse.json_data(
        {
            "id": request_id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
            "choices": [],
            "kubefugu": {"event": kind, **describe(getattr(event, kind))},
        }
    )


def _routed(event: executor_pb2.Routed) -> dict[str, Any]:
    return {
        "turn": event.turn,
        "worker": event.worker,
        "role": role_name(event.role),
        "policy_version": event.policy_version or None,
        "router_ms": round(event.router_ms, 3),
    }


def _turn_started(event: executor_pb2.TurnStarted) -> dict[str, Any]:
    return {
        "turn": event.turn,
        "attempt": event.attempt,
        "worker": event.worker,
        "role": role_name(event.role),
        "policy_version": event.policy_version or None,
    }


def _turn_ended(event: executor_pb2.TurnEnded) -> dict[str, Any]:
    return {
        "turn": event.turn,
        "attempt": event.attempt,
        "worker": event.worker,
        "outcome": _outcome(event.outcome),
        "usage": _usage(event.usage),
        "duration_ms": round(event.duration_ms, 3),
        "error": event.error_reason.lower() or None,
    }


def _progress(event: executor_pb2.Progress) -> dict[str, Any]:
    return {"message": event.message}


def _planned(event: executor_pb2.Planned) -> dict[str, Any]:
    return {"planner": event.planner, "plan": orjson.Fragment(event.plan_json) if event.plan_json else None}


def _step_started(event: executor_pb2.StepStarted) -> dict[str, Any]:
    return {"step": event.step, "worker": event.worker}


def _step_ended(event: executor_pb2.StepEnded) -> dict[str, Any]:
    return {
        "step": event.step,
        "worker": event.worker,
        "outcome": _outcome(event.outcome),
        "usage": _usage(event.usage),
        "duration_ms": round(event.duration_ms, 3),
    }


def _outcome(value: executor_pb2.TurnOutcome.ValueType) -> str:
    return executor_pb2.TurnOutcome.Name(value).removeprefix(_OUTCOME_PREFIX).lower()


def _usage(usage: common_pb2.Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cost_usd": usage.cost_usd,
    }


_DESCRIBE: dict[str, Any] = {
    "routed": _routed,
    "turn_started": _turn_started,
    "turn_ended": _turn_ended,
    "progress": _progress,
    "planned": _planned,
    "step_started": _step_started,
    "step_ended": _step_ended,
}
