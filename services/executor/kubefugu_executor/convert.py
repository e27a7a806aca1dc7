"""Events as messages of the Execute stream."""

from __future__ import annotations

from kubefugu.common.v1 import common_pb2
from kubefugu.executor.v1 import executor_pb2 as pb
from kubefugu_coordination.events import (
    Delta,
    Done,
    Event,
    Outcome,
    Planned,
    Progress,
    Routed,
    StepEnded,
    StepStarted,
    TurnEnded,
    TurnStarted,
)
from kubefugu_coordination.spend import Spent
from kubefugu_coordination.workers.reply import TokenUsage
from kubefugu_core.errors import spec_of
from kubefugu_executor.router_client import role_to_proto

_OUTCOMES = {
    Outcome.OK: pb.TURN_OUTCOME_OK,
    Outcome.DECLINED: pb.TURN_OUTCOME_DECLINED,
    Outcome.FAILED: pb.TURN_OUTCOME_FAILED,
    Outcome.ACCEPTED: pb.TURN_OUTCOME_ACCEPTED,
    Outcome.REJECTED: pb.TURN_OUTCOME_REJECTED,
    Outcome.WAITING: pb.TURN_OUTCOME_WAITING,
}


def spent_to_proto(spent: Spent) -> common_pb2.Usage:
    """Totals of a request."""
    return common_pb2.Usage(
        prompt_tokens=spent.prompt_tokens,
        completion_tokens=spent.completion_tokens,
        orchestration_input_tokens=spent.orchestration_input_tokens,
        orchestration_output_tokens=spent.orchestration_output_tokens,
        cost_usd=spent.cost_usd,
    )


def _usage(usage: TokenUsage, cost_usd: float) -> common_pb2.Usage:
    return common_pb2.Usage(prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens, cost_usd=cost_usd)


def event_to_proto(event: Event) -> pb.ExecuteResponse | None:
    """One event as one message of the stream; None for an event that only the decision record is interested in."""
    if isinstance(event, Delta):
        return pb.ExecuteResponse(delta=pb.Delta(sse=event.sse))
    if isinstance(event, Routed):
        return pb.ExecuteResponse(
            routed=pb.Routed(
                turn=event.turn,
                worker=event.worker,
                role=role_to_proto(event.role),
                policy_version=event.policy_version,
                router_ms=event.router_ms,
            )
        )
    if isinstance(event, TurnStarted):
        return pb.ExecuteResponse(
            turn_started=pb.TurnStarted(
                turn=event.turn,
                attempt=event.attempt,
                worker=event.worker,
                role=role_to_proto(event.role),
                policy_version=event.policy_version,
            )
        )
    if isinstance(event, TurnEnded):
        return pb.ExecuteResponse(turn_ended=_turn_ended(event))
    if isinstance(event, Done):
        return pb.ExecuteResponse(done=_done(event))
    if isinstance(event, Progress):
        return pb.ExecuteResponse(progress=pb.Progress(message=event.message))
    return _workflow_event(event)


def _turn_ended(event: TurnEnded) -> pb.TurnEnded:
    return pb.TurnEnded(
        turn=event.turn,
        attempt=event.attempt,
        worker=event.worker,
        outcome=_OUTCOMES[event.outcome],
        usage=_usage(event.usage, event.cost_usd),
        duration_ms=event.duration_ms,
        error_reason=spec_of(event.error).reason if event.error is not None else "",
    )


def _done(event: Done) -> pb.Done:
    return pb.Done(
        completion_json=event.completion_json,
        usage=spent_to_proto(event.spent),
        worker=event.worker,
        role=role_to_proto(event.role),
        policy_version=event.policy_version,
        turns=event.turns,
    )


def _workflow_event(event: Event) -> pb.ExecuteResponse | None:
    if isinstance(event, Planned | StepStarted | StepEnded) and event.path:
        # Workflows below the request's own are told in the decision record; their step numbers would be taken for its own.
        return None
    if isinstance(event, Planned):
        return pb.ExecuteResponse(planned=pb.Planned(plan_json=event.plan_json, planner=event.planner))
    if isinstance(event, StepStarted):
        return pb.ExecuteResponse(step_started=pb.StepStarted(step=event.step, worker=event.worker))
    if isinstance(event, StepEnded):
        return pb.ExecuteResponse(
            step_ended=pb.StepEnded(
                step=event.step,
                worker=event.worker,
                outcome=_OUTCOMES[event.outcome],
                usage=_usage(event.usage, event.cost_usd),
                duration_ms=event.duration_ms,
            )
        )
    return None
