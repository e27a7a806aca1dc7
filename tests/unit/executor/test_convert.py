"""Events and decisions across the wire."""

from __future__ import annotations

import pytest

from kubefugu.common.v1 import common_pb2
from kubefugu.executor.v1 import executor_pb2 as pb
from kubefugu.router.v1 import router_pb2
from kubefugu_coordination.events import Delta, Done, Outcome, Progress, RoleSource, Routed, StopReason, TurnEnded, TurnStarted
from kubefugu_coordination.loop.router import Offer, RouteQuery
from kubefugu_coordination.spend import Spent
from kubefugu_coordination.workers.reply import TokenUsage
from kubefugu_core.errors import WorkerStreamCutError
from kubefugu_core.options import SamplingOptions
from kubefugu_core.pool import Role
from kubefugu_executor.convert import event_to_proto
from kubefugu_executor.router_client import decision_of, request_of


def test_every_event_has_its_message() -> None:
    spent = Spent(5, 6, 1, 2, 0.5)
    failed = TurnEnded(1, 2, "a", Role.THINKER, Outcome.FAILED, error=WorkerStreamCutError("x"))
    told = [
        event_to_proto(event)
        for event in (
            Routed(1, "a", Role.VERIFIER, RoleSource.POLICY, "v1", 2.5),
            TurnStarted(1, 2, "a", Role.SOLVER, "v1"),
            Delta(b"data: x\n\n"),
            failed,
            Progress("hm"),
            Done(b"{}", spent, "a", Role.SOLVER, "v1", 3, StopReason.ACCEPTED),
        )
    ]
    assert [message.WhichOneof("event") for message in told if message is not None] == [
        "routed",
        "turn_started",
        "delta",
        "turn_ended",
        "progress",
        "done",
    ]
    routed, started, delta, ended, progress, done = (message for message in told if message is not None)
    assert (routed.routed.role, routed.routed.router_ms) == (common_pb2.ROLE_VERIFIER, 2.5)
    assert (started.turn_started.attempt, started.turn_started.role) == (2, common_pb2.ROLE_SOLVER)
    assert delta.delta.sse == b"data: x\n\n"
    assert (ended.turn_ended.outcome, ended.turn_ended.error_reason) == (pb.TURN_OUTCOME_FAILED, "WORKER_STREAM_CUT")
    assert progress.progress.message == "hm"
    assert (done.done.turns, done.done.usage.orchestration_output_tokens, done.done.usage.cost_usd) == (3, 2, 0.5)


@pytest.mark.parametrize("outcome", list(Outcome)[:5])
def test_every_outcome_of_a_turn_is_known_to_the_proto(outcome: Outcome) -> None:
    message = event_to_proto(TurnEnded(1, 1, "a", Role.SOLVER, outcome, usage=TokenUsage(3, 4), cost_usd=0.25))
    assert message is not None
    assert pb.TurnOutcome.Name(message.turn_ended.outcome) == f"TURN_OUTCOME_{outcome.name}"
    assert (message.turn_ended.usage.prompt_tokens, message.turn_ended.usage.cost_usd) == (3, 0.25)


def test_a_query_carries_pin_sampling_and_roles() -> None:
    query = RouteQuery(
        transcript=[("user", "hi")],
        offers=[Offer("a", "m", (Role.SOLVER, Role.VERIFIER))],
        conversation_key="k",
        policy_version="v2",
        sampling=SamplingOptions(seed=2**63 - 1, temperature=0.5),
    )
    request = request_of(query)
    assert request.policy_version == "v2"
    assert (request.sampling.seed, request.sampling.temperature) == (2**63 - 1, 0.5)
    assert list(request.allowed[0].roles) == [common_pb2.ROLE_SOLVER, common_pb2.ROLE_VERIFIER]
    assert not request_of(RouteQuery([("user", "hi")], [])).HasField("sampling")


def test_a_decision_without_role_rows_solves() -> None:
    decided = decision_of(
        router_pb2.Decision(
            policy_version="v1",
            worker="a",
            workers=[
                router_pb2.WorkerScore(name="a", logit=1.5, probability=0.7, trained=True),
                router_pb2.WorkerScore(name="new", probability=0.3),
            ],
            shadows=[router_pb2.ShadowDecision(policy_version="v2", worker="b", role=common_pb2.ROLE_THINKER)],
            truncated=True,
            dropped_tokens=9,
            canary=True,
        )
    )
    assert (decided.role, decided.roles) == (Role.SOLVER, ())
    assert [(score.worker, score.logit, score.trained) for score in decided.workers] == [("a", 1.5, True), ("new", None, False)]
    assert decided.shadows[0].role is Role.THINKER
    assert (decided.truncated, decided.dropped_tokens, decided.canary) == (True, 9, True)
