"""The coordination loop when workers decline, fail or hang, or the router is away: fail-over, and whose error it is."""

from __future__ import annotations

from typing import Any

import pytest
from support.loops import chat, stage
from support.routers import ScriptedRouter, decide
from support.upstream import Script

from kubefugu_coordination.events import RoleSource, StopReason
from kubefugu_core.errors import (
    DeadlineExceededError,
    NoWorkerAvailableError,
    PolicyNotFoundError,
    RateLimitedError,
    UnavailableError,
    WorkerRejectedRequestError,
    WorkerStreamCutError,
)

HIGH = {"reasoning_effort": "high"}


async def test_a_specialist_that_declines_is_a_miss_and_the_next_best_is_asked() -> None:
    members: dict[str, dict[str, Any]] = {"a": {"specialist": True}, "c": {"fallback": True}}
    async with stage("a", "b", "c", members=members) as s:
        s.say("a", Script(refusal="not my field"))
        run = await s.run(ScriptedRouter(decide("a", order=("c", "b"))), chat())
        assert run.summary == [("a", "solver", "declined"), ("b", "solver", "ok")]
        assert "refusal" not in run.completion["choices"][0]["message"]
        spent = run.done.spent
        assert (spent.prompt_tokens, spent.orchestration_input_tokens) == (22, 11)
        assert s.workers.client("a").admission.stats.declined == 1


async def test_fallback_workers_come_last_whatever_their_rank() -> None:
    async with stage("a", "b", "c", members={"b": {"fallback": True}}) as s:
        s.say("a", Script(status=500))
        s.say("c", Script(status=500))
        run = await s.run(ScriptedRouter(decide("a", order=("b", "c"))), chat())
        assert [worker for worker, _, _ in run.summary] == ["a", "c", "b"]


async def test_a_refusal_of_a_worker_that_is_no_specialist_is_the_answer() -> None:
    async with stage("a", "b") as s:
        s.say("a", Script(refusal="I will not help with that."))
        run = await s.run(ScriptedRouter(decide("a", order=("b",))), chat())
        assert run.completion["choices"][0]["message"]["refusal"] == "I will not help with that."


async def test_when_every_specialist_declines_the_client_is_told_and_gets_no_refusal() -> None:
    members = {name: {"specialist": True} for name in ("a", "b")}
    async with stage("a", "b", members=members) as s:
        for name in ("a", "b"):
            s.say(name, Script(refusal="no"))
        run = await s.run(ScriptedRouter(decide("a", order=("b",))), chat())
        assert isinstance(run.error, NoWorkerAvailableError)
        assert "a: worker_refused; b: worker_refused" in run.error.message


@pytest.mark.parametrize(
    "script",
    [
        Script(status=500),
        Script(status=429),
        Script(status=401),
        Script(status=400),
        Script(drop=True),
        Script(body=b"{"),
        Script(body=b'{"choices": []}'),
        Script(text=""),
        Script(text=None),
        Script(cut_after_chunks=0),
        Script(body=b"<html></html>", content_type="text/html"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_any_failure_before_the_first_byte_fails_over(script: Script, stream: bool) -> None:
    async with stage("a", "b") as s:
        s.say("a", script)
        run = await s.run(ScriptedRouter(decide("a", order=("b",))), chat(stream=stream))
        assert run.answer == "Hello there, this is the upstream."
        assert run.summary == [("a", "solver", "failed"), ("b", "solver", "ok")]
        assert run.turns[0].error is not None
        assert run.done.worker == "b"


async def test_the_only_workers_own_error_is_told() -> None:
    async with stage("a") as s:
        s.say("a", Script(status=429, headers={"Retry-After": "9"}))
        run = await s.run(ScriptedRouter(decide("a")), chat())
        assert isinstance(run.error, RateLimitedError)
        assert run.error.retry_after_s == 9


async def test_a_request_that_every_worker_rejects_is_the_clients_error() -> None:
    async with stage("a", "b") as s:
        for name in ("a", "b"):
            s.say(name, Script(status=400, body=b'{"error": {"message": "temperature must be at most 2"}}'))
        run = await s.run(ScriptedRouter(decide("a", order=("b",))), chat())
        assert isinstance(run.error, WorkerRejectedRequestError)
        assert "temperature must be at most 2" in run.error.message


async def test_a_rejection_stays_the_clients_error_where_the_others_declined() -> None:
    async with stage("a", "b", members={"b": {"specialist": True}}) as s:
        s.say("a", Script(status=400, body=b'{"error": {"message": "max_tokens is wrong"}}'))
        s.say("b", Script(refusal="no"))
        run = await s.run(ScriptedRouter(decide("a", order=("b",))), chat())
        assert isinstance(run.error, WorkerRejectedRequestError)


async def test_rate_limits_of_all_workers_are_one_rate_limit() -> None:
    async with stage("a", "b") as s:
        s.say("a", Script(status=429, headers={"Retry-After": "30"}))
        s.say("b", Script(status=429, headers={"Retry-After": "9"}))
        run = await s.run(ScriptedRouter(decide("a", order=("b",))), chat())
        assert isinstance(run.error, RateLimitedError)
        assert run.error.retry_after_s == 9


async def test_a_failure_after_the_first_byte_is_an_error_never_a_second_answer() -> None:
    async with stage("a", "b") as s:
        s.say("a", Script(cut_after_chunks=3))
        run = await s.run(ScriptedRouter(decide("a", order=("b",))), chat(stream=True))
        assert isinstance(run.error, WorkerStreamCutError)
        assert b"[DONE]" not in run.sse
        assert run.chunks
        assert run.summary == [("a", "solver", "failed")]


async def test_a_later_turn_that_fails_leaves_the_latest_response() -> None:
    async with stage("a", "b") as s:
        s.say("a", "42")
        s.say("b", Script(status=500))
        router = ScriptedRouter(decide("a"), decide("b", "verifier"))
        run = await s.run(router, chat(**HIGH))
        assert run.answer == "42"
        assert run.done.stop_reason is StopReason.TURN_FAILED


async def test_the_requests_deadline_ends_a_hanging_worker() -> None:
    async with stage("a", "b") as s:
        s.say("a", Script(hang=True))
        s.say("b", Script(hang=True))
        run = await s.run(ScriptedRouter(decide("a", order=("b",))), chat(), seconds=1)
        assert isinstance(run.error, DeadlineExceededError)
        assert len(s.upstream.requests) == 1


async def test_a_worker_that_hangs_for_a_turns_time_is_failed_over() -> None:
    async with stage("a", "b", turnTimeoutSeconds=1) as s:
        s.say("a", Script(hang=True))
        run = await s.run(ScriptedRouter(decide("a", order=("b",))), chat())
        assert run.summary == [("a", "solver", "failed"), ("b", "solver", "ok")]


FALLBACK = {"c": {"fallback": True}}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_router_outage_is_answered_by_the_declared_fallback_and_said_so(stream: bool) -> None:
    async with stage("a", "b", "c", members=FALLBACK) as s:
        run = await s.run(ScriptedRouter(UnavailableError("router down")), chat(stream=stream, **HIGH))
        assert run.summary == [("c", "solver", "ok")]
        assert run.routed[0].degraded == "unavailable"
        assert run.routed[0].role_source is RoleSource.FALLBACK
        assert run.done.policy_version == ""


async def test_a_router_outage_in_a_later_turn_leaves_the_latest_response() -> None:
    async with stage("a", "c", members=FALLBACK) as s:
        s.say("a", "42")
        run = await s.run(ScriptedRouter(decide("a"), UnavailableError("router down")), chat(**HIGH))
        assert run.answer == "42"
        assert run.summary == [("a", "solver", "ok")]
        assert run.done.stop_reason is StopReason.TURN_FAILED


async def test_a_router_outage_with_a_pinned_policy_is_an_error() -> None:
    async with stage("a", "c", members=FALLBACK) as s:
        run = await s.run(ScriptedRouter(UnavailableError("router down")), chat(kubefugu={"policy_version": "v7"}))
        assert isinstance(run.error, UnavailableError)
        assert s.upstream.requests == []


async def test_a_router_outage_without_a_fallback_worker_is_an_error() -> None:
    async with stage("a", "b") as s:
        run = await s.run(ScriptedRouter(UnavailableError("router down")), chat())
        assert isinstance(run.error, UnavailableError)
        assert run.error.message == "router down"


async def test_a_wrong_pin_is_the_clients_error() -> None:
    async with stage("a", "c", members=FALLBACK) as s:
        run = await s.run(ScriptedRouter(PolicyNotFoundError("no v9")), chat(kubefugu={"policy_version": "v9"}))
        assert isinstance(run.error, PolicyNotFoundError)


async def test_workers_without_a_score_are_answered_for_by_the_declared_fallback() -> None:
    async with stage("a", "b", "c", members=FALLBACK) as s:
        run = await s.run(ScriptedRouter(decide("a", order=("b", "c"), trained=False)), chat())
        assert run.summary == [("c", "solver", "ok")]
        assert run.routed[0].degraded == "no_trained_worker"
        pinned = chat(kubefugu={"policy_version": "policy-1"})
        run = await s.run(ScriptedRouter(decide("a", order=("b", "c"), trained=False)), pinned)
        assert run.summary == [("a", "solver", "ok")]


async def test_workers_with_an_open_circuit_are_not_offered() -> None:
    async with stage("a", "b") as s:
        s.say("a", Script(status=500))
        router = ScriptedRouter(decide("a", order=("b",)))
        for _ in range(5):
            await s.run(router, chat())
        last = ScriptedRouter(decide("b"))
        await s.run(last, chat())
        assert [offer.name for offer in last.queries[0].offers] == ["b"]
