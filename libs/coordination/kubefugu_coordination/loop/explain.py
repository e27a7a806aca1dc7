"""Routing decisions as plain data: for the response's `kubefugu` object and for decision records (docs/api.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubefugu_coordination.events import Routed, StopReason
from kubefugu_coordination.job import Job
from kubefugu_coordination.loop.router import Decision


def decision_object(decision: Decision) -> dict[str, Any]:
    """Scores, truncation and shadows of one decision."""
    return {
        "worker": decision.worker,
        "role": decision.role.value,
        "policy_version": decision.policy_version,
        "canary": decision.canary,
        "workers": [
            {"name": score.worker, "logit": score.logit, "probability": score.probability, "trained": score.trained}
            for score in decision.workers
        ],
        "roles": [{"role": s.role.value, "logit": s.logit, "probability": s.probability} for s in decision.roles],
        "input_tokens": decision.input_tokens,
        "cached_tokens": decision.cached_tokens,
        "truncated": decision.truncated,
        "dropped_tokens": decision.dropped_tokens,
        "engine_ms": round(decision.engine_ms, 3),
        "shadows": [
            {"policy_version": shadow.policy_version, "worker": shadow.worker, "role": shadow.role.value}
            for shadow in decision.shadows
        ],
    }


def routed_object(routed: Routed) -> dict[str, Any]:
    """A turn's routing: what was decided, what was done with it, and why."""
    return {
        "turn": routed.turn,
        "worker": routed.worker,
        "role": routed.role.value,
        "role_source": routed.role_source.value,
        "policy_version": routed.policy_version,
        "router_ms": round(routed.router_ms, 3),
        "degraded": routed.degraded or None,
        "decision": decision_object(routed.decision) if routed.decision is not None else None,
    }


def explanation(job: Job, routed: Sequence[Routed], stop: StopReason) -> dict[str, Any]:
    """The `kubefugu` object of a response."""
    return {"decision_id": job.request_id, "stop_reason": stop.value, "routing": [routed_object(turn) for turn in routed]}
