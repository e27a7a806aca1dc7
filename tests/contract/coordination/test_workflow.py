"""Workflows from question to answer: real planner code, real worker clients, real HTTP; workers and planner on script."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from support.routers import ScriptedRouter, decide
from support.upstream import Script
from support.waiting import until
from support.workflows import Workflows, plan_text, said, subtask_of, ultra, workflows

from kubefugu_coordination.events import Delta, Progress, StopReason
from kubefugu_coordination.workflow.record import record_svg
from kubefugu_core.errors import (
    BudgetExceededError,
    InvalidRequestError,
    NoWorkerAvailableError,
    UnavailableError,
    UnsupportedFeatureError,
    WorkerError,
    WorkerStreamCutError,
)

TWO_FACTS = plan_text((1, "Find A.", []), (2, "Find B.", []), (0, "Join A and B.", "all"))


@pytest.fixture
async def flows() -> AsyncIterator[Workflows]:
    """writer 0, alpha 1 and beta 2; the router would always take beta."""
    router = ScriptedRouter(decide("beta", roles=False, order=("beta", "writer", "alpha")))
    async with workflows("writer", "alpha", "beta", router=router) as made:
        made.plan(TWO_FACTS)
        made.stage.say("writer", "A and B.")
        made.stage.say("alpha", "A is 1.")
        made.stage.say("beta", "B is 2.")
        yield made


async def test_a_planned_workflow_answers(flows: Workflows) -> None:
    result = await flows.run(ultra("What are A and B?"))
    assert result.answer == "A and B."
    assert sorted(result.steps[:2]) == [("0", "alpha", "ok"), ("1", "beta", "ok")]
    assert result.steps[2] == ("2", "writer", "ok")
    assert (result.done.stop_reason, result.done.worker, result.done.turns) == (StopReason.WORKFLOW, "writer", 3)
    assert result.completion["id"].startswith("chatcmpl-")
    assert result.completion["model"] == "fugu-ultra"


async def test_usage_counts_the_plan_and_every_step(flows: Workflows) -> None:
    usage = (await flows.run(ultra())).completion["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (4 * 11, 4 * 7)
    assert usage["prompt_tokens_details"]["orchestration_input_tokens"] == 3 * 11
    assert usage["completion_tokens_details"]["orchestration_output_tokens"] == 3 * 7


async def test_each_worker_sees_the_task_its_access_and_its_subtask_and_nothing_else(flows: Workflows) -> None:
    flows.plan(plan_text((1, "Find A.", []), (2, "Double A.", [0]), (0, "State the double.", [1])))
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is twice A?"}]
    await flows.run(ultra(messages=messages))
    alpha, beta, writer = (flows.stage.bodies(name)[0] for name in ("alpha", "beta", "writer"))
    for body, subtask in ((alpha, "Find A."), (beta, "Double A."), (writer, "State the double.")):
        assert body["messages"][0] == messages[0]
        assert body["messages"][1]["content"].startswith(messages[1]["content"])
        assert subtask_of(body) == subtask
    assert "A is 1." in said(beta)
    assert "Find A." in said(beta)
    assert "Find A." not in said(writer)
    assert "A is 1." not in said(writer)
    assert "B is 2." in said(writer)
    assert "Double A." not in said(alpha)


async def test_the_answer_is_streamed_as_it_comes_and_inner_steps_are_not(flows: Workflows) -> None:
    flows.stage.say("writer", Script(text="A and B, one after the other.", pieces=5))
    result = await flows.run(ultra(stream=True, stream_options={"include_usage": True}))
    assert result.answer == "A and B, one after the other."
    assert result.sse.endswith(b"data: [DONE]\n\n")
    assert b"A is 1." not in result.sse
    assert {chunk["model"] for chunk in result.chunks} == {"fugu-ultra"}
    assert result.chunks[-1]["usage"]["prompt_tokens"] == 44
    assert len([event for event in result.events if isinstance(event, Delta)]) > 1
    assert [body.get("stream") for body in flows.stage.bodies("alpha")] == [None]


async def test_independent_steps_wait_for_each_other_at_the_join_only(flows: Workflows) -> None:
    """Both first steps are under way at the same time: each upstream answers only when it has seen the other's request."""
    both = asyncio.Event()
    flows.stage.say("alpha", Script(text="A is 1.", hang=True, release=both))
    flows.stage.say("beta", Script(text="B is 2.", hang=True, release=both))
    run = asyncio.create_task(flows.run(ultra()))
    await until(lambda: flows.stage.bodies("alpha") and flows.stage.bodies("beta"), timeout_s=15)
    both.set()
    assert [outcome for _, _, outcome in (await run).steps] == ["ok"] * 3


async def test_a_step_fails_over_in_the_routers_order_and_the_record_says_so(flows: Workflows) -> None:
    flows.stage.say("alpha", Script(status=500))
    result = await flows.run(ultra())
    assert ("0", "alpha", "failed") in result.steps
    assert ("0", "beta", "ok") in result.steps
    calls = [(c["step"], c["worker"], c["outcome"]) for c in result.record["calls"] if c["step"] == 0]
    assert calls == [(0, "alpha", "failed"), (0, "beta", "ok")]
    assert len(flows.router.queries) == 1  # type: ignore[attr-defined]  # the scripted one


async def test_a_declining_specialist_is_a_miss() -> None:
    router = ScriptedRouter(decide("writer", roles=False, order=("writer", "beta")))
    members = {"alpha": {"specialist": True}}
    async with workflows("writer", "alpha", "beta", router=router, members=members) as flows:
        flows.plan(plan_text((1, "Find A.", []), (1, "Say A.", [0])))
        flows.stage.say("alpha", Script(refusal="Not my field."))
        flows.stage.say("writer", "A, says the writer.")
        for stream in (False, True):
            result = await flows.run(ultra(stream=stream))
            assert result.answer == "A, says the writer."
            assert result.steps == [
                ("0", "alpha", "declined"), ("0", "writer", "ok"), ("1", "alpha", "declined"), ("1", "writer", "ok")
            ]  # fmt: skip
            assert b"Not my field" not in result.sse


async def test_a_step_that_nobody_can_do_is_unavailable_and_the_answer_still_comes(flows: Workflows) -> None:
    for name in ("alpha", "beta"):
        flows.stage.say(name, Script(status=500))
    flows.stage.say("writer", Script(status=500), Script(status=500), "I only know half of it.")
    result = await flows.run(ultra())
    assert result.answer == "I only know half of it."
    final = said(flows.stage.bodies("writer")[-1])
    assert final.count("its result is not available") == 2


async def test_without_the_last_step_there_is_an_error(flows: Workflows) -> None:
    flows.plan(plan_text((1, "Say A.", [])))
    for name in ("writer", "alpha", "beta"):
        flows.stage.say(name, Script(status=500))
    result = await flows.run(ultra())
    assert isinstance(result.error, NoWorkerAvailableError)
    assert [outcome for _, _, outcome in result.steps] == ["failed"] * 3


async def test_a_stream_that_breaks_off_is_an_error_not_a_second_answer(flows: Workflows) -> None:
    flows.stage.say("writer", Script(text="one two three", pieces=3, cut_after_chunks=2))
    result = await flows.run(ultra(stream=True))
    assert isinstance(result.error, WorkerStreamCutError)
    assert b"[DONE]" not in result.sse
    assert len(flows.stage.bodies("beta")) == 1


async def test_no_valid_plan_falls_back_to_the_loop_and_says_why(flows: Workflows) -> None:
    flows.plan("I would rather answer myself.")
    flows.stage.say("beta", "Beta knows it all.")
    for stream in (False, True):
        result = await flows.run(ultra(stream=stream))
        assert result.answer == "Beta knows it all."
        assert result.record["fallback"]["error"]["reason"] == "INVALID_PLAN"
        assert [found["code"] for found in result.record["fallback"]["diagnoses"]] == ["LIST_MISSING"] * 3
        assert result.done.stop_reason is StopReason.SINGLE_TURN
        assert (result.done.spent.prompt_tokens, result.done.spent.orchestration_input_tokens) == (33, 22)


async def test_a_planner_that_is_down_falls_back_too(flows: Workflows) -> None:
    flows.plan(Script(status=500))
    result = await flows.run(ultra())
    assert result.answer == "B is 2."
    assert result.record["fallback"]["error"]["reason"] == "WORKER_ERROR"


async def test_a_planner_that_hangs_leaves_the_loop_its_time(flows: Workflows) -> None:
    flows.plan(Script(hang=True))
    result = await flows.run(ultra(), seconds=12, planner_share=0.05)
    assert result.answer == "B is 2."
    assert result.record["fallback"]["error"]["reason"] == "DEADLINE_EXCEEDED"


async def test_a_hanging_step_leaves_the_others_their_time(flows: Workflows) -> None:
    """A chain of two: the first step gets half of the time, and of that a part for its first worker."""
    flows.plan(plan_text((1, "Find A.", []), (0, "Say A.", [0])))
    flows.stage.say("alpha", Script(hang=True))
    result = await flows.run(ultra(), seconds=8)
    assert result.steps == [("0", "alpha", "failed"), ("0", "beta", "ok"), ("1", "writer", "ok")]
    await until(lambda: flows.stage.upstream.requests[1].disconnected_at)


async def test_closing_the_events_closes_every_workers_socket(flows: Workflows) -> None:
    for name in ("alpha", "beta"):
        flows.stage.say(name, Script(hang=True))
    run = flows.run_of(ultra(), progress_s=0.05)
    async with aclosing(run.events()) as events:
        async for _ in events:
            if len(flows.stage.bodies("alpha") + flows.stage.bodies("beta")) == 2:
                break
    hanging = [r for r in flows.stage.upstream.requests if r.body["model"] in ("alpha-model", "beta-model")]
    assert len(hanging) == 2
    assert await until(lambda: all(request.disconnected_at for request in hanging)) < 1


async def test_signs_of_life_name_the_steps_at_work(flows: Workflows) -> None:
    flows.stage.say("alpha", Script(text="A", first_byte_delay_s=0.3))
    result = await flows.run(ultra(), progress_s=0.05)
    messages = [event.message for event in result.events if isinstance(event, Progress)]
    assert any("step 0 at work" in message for message in messages)


async def test_k_of_n_offers_the_allowed_subset_only(flows: Workflows) -> None:
    flows.plan(plan_text((0, "Say it.", [])))
    result = await flows.run(ultra(kubefugu={"allow": ["beta", "alpha"]}))
    asked = said(flows.stage.bodies("planner")[0])
    assert "0: alpha" in asked
    assert "1: beta" in asked
    assert "writer\n" not in asked.split("Task:")[-2]
    assert result.done.worker == "alpha"


async def test_resting_workers_are_not_offered_to_the_planner(flows: Workflows) -> None:
    breaker = flows.stage.workers.client("alpha").admission.breaker
    for _ in range(5):
        breaker.failed()
    flows.plan(plan_text((1, "Say it.", [])))
    assert (await flows.run(ultra())).done.worker == "beta"


async def test_budgets_of_steps_and_cost() -> None:
    prices = {"inputPerMillionTokens": "1000000", "outputPerMillionTokens": "0"}
    router = ScriptedRouter(decide("writer", roles=False))
    async with workflows("writer", "alpha", router=router, members={"alpha": {"prices": prices}}) as flows:
        flows.stage.say("writer", "done")
        flows.stage.say("alpha", "expensive")
        flows.plan(plan_text((1, "Find.", []), (1, "Find more.", [0]), (0, "Say.", [0, 1])))
        result = await flows.run(ultra(kubefugu={"max_steps": 2}))
        assert result.record["fallback"]["error"]["reason"] == "INVALID_PLAN", "a plan over the step budget is no plan"
        # 11 dollars a call: the first one passes the cap, so nothing that costs anything follows.
        result = await flows.run(ultra(kubefugu={"max_cost_usd": 5}))
        assert isinstance(result.error, BudgetExceededError)
        assert result.error.field == "kubefugu.max_cost_usd"
        assert len(flows.stage.bodies("alpha")) == 1


async def test_effort_bounds_the_steps(flows: Workflows) -> None:
    for effort, told in (("minimal", "at most 2"), ("low", "at most 3"), ("medium", "at most 5"), ("high", "at most 5")):
        await flows.run(ultra(reasoning_effort=effort))
        assert told in said(flows.stage.bodies("planner")[-1])


async def test_the_conductor_may_name_itself_where_the_effort_is_high(flows: Workflows) -> None:
    whole = plan_text((4, "Find A and B.", []), (0, "Say both.", [0]))
    flows.plan(whole, TWO_FACTS)
    flows.stage.say("writer", "A and B.", "Both said.")
    result = await flows.run(ultra(reasoning_effort="high"))
    assert result.answer == "Both said."
    assert sorted(result.steps[:2]) == [("0.0", "alpha", "ok"), ("0.1", "beta", "ok")]
    assert result.steps[2:] == [("0.2", "writer", "ok"), ("1", "writer", "ok")]
    inner, outer = flows.stage.bodies("planner")[1], flows.stage.bodies("planner")[0]
    assert "4: @conductor" in said(outer)
    assert "4: @conductor" not in said(inner), "one level below, nobody may recurse any further"
    assert "Find A and B." in said(inner)
    assert "A and B." in said(flows.stage.bodies("writer")[1])
    assert [plan["path"] for plan in result.record["plans"]] == ["", "0."]


async def test_without_high_effort_the_conductor_is_not_offered(flows: Workflows) -> None:
    flows.plan(plan_text((4, "Plan it.", [])))
    result = await flows.run(ultra())
    assert "@conductor" not in said(flows.stage.bodies("planner")[0])
    assert result.record["fallback"]["error"]["reason"] == "INVALID_PLAN"


async def test_a_last_step_that_becomes_a_workflow_is_streamed_too(flows: Workflows) -> None:
    flows.plan(plan_text((4, "Do it all.", [])), TWO_FACTS)
    result = await flows.run(ultra(reasoning_effort="high", stream=True))
    assert result.answer == "A and B."
    assert result.sse.endswith(b"data: [DONE]\n\n")


async def test_a_subtask_that_cannot_be_planned_goes_to_a_worker(flows: Workflows) -> None:
    flows.plan(plan_text((4, "Find A.", []), (0, "Say A.", [0])), "no plan", "still no plan")
    result = await flows.run(ultra(reasoning_effort="high"))
    assert result.answer == "A and B."
    assert ("0", "beta", "ok") in result.steps, "the router's first choice does it"
    assert [plan["path"] for plan in result.record["plans"]] == ["", "0."]
    assert result.record["fallback"] is None


async def test_what_only_concerns_the_answer_is_sent_to_the_last_step_only() -> None:
    members = {"writer": {"capabilities": ["jsonSchema", "vision"]}}
    router = ScriptedRouter(decide("writer", roles=False))
    async with workflows("writer", "alpha", router=router, members=members) as flows:
        flows.plan(plan_text((1, "Find A.", []), (1, "Say A.", [0])))
        flows.stage.say("writer", '{"a": 1}')
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
        messages = [{"role": "user", "content": [{"type": "text", "text": "What is A?"}, image]}]
        schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
        result = await flows.run(ultra(messages=messages, response_format=schema, max_tokens=9, temperature=0.3, seed=4))
        inner, last = flows.stage.bodies("alpha")[0], flows.stage.bodies("writer")[0]
        assert (inner["temperature"], inner["seed"]) == (0.3, 4)
        assert not {"response_format", "max_tokens"} & set(inner)
        assert (last["response_format"], last["max_tokens"]) == (schema, 9)
        assert inner["messages"][0]["content"][1] == {"type": "text", "text": "[an image]"}
        assert last["messages"][0]["content"][1] == image
        assert result.steps == [("0", "alpha", "ok"), ("1", "writer", "ok")], "alpha can't answer in JSON, so it isn't asked"


@pytest.mark.parametrize(
    ("members", "error", "field"),
    [
        ({"n": 2}, InvalidRequestError, "n"),
        ({"kubefugu": {"allow": ["nobody"]}}, InvalidRequestError, "kubefugu.allow"),
        ({"response_format": {"type": "json_object"}}, UnsupportedFeatureError, "response_format"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, UnsupportedFeatureError, "tools"),
        ({"kubefugu": {"planner": "nobody"}}, InvalidRequestError, "kubefugu.planner"),
    ],
)
async def test_impossible_requests_name_their_field(
    flows: Workflows, members: dict[str, Any], error: type[Exception], field: str
) -> None:
    try:
        result = await flows.run(ultra(**members))
        raised = result.error
    except InvalidRequestError as caught:
        raised = caught
    assert isinstance(raised, error)
    assert getattr(raised, "field", None) == field


async def test_explain_puts_graph_and_calls_into_the_response(flows: Workflows) -> None:
    completion = (await flows.run(ultra(kubefugu={"explain": True}))).completion
    workflow = completion["kubefugu"]["workflow"]
    assert workflow["plans"][0]["steps"][2] == {"worker": "writer", "subtask": "Join A and B.", "access": [0, 1]}
    assert {(call["step"], call["worker"], call["outcome"]) for call in workflow["calls"]} == {
        (0, "alpha", "ok"), (1, "beta", "ok"), (2, "writer", "ok")
    }  # fmt: skip
    assert all(call["usage"]["prompt_tokens"] == 11 and call["duration_ms"] > 0 for call in workflow["calls"])
    starts = [call["started_ms"] for call in workflow["calls"]]
    assert starts == sorted(starts)
    svg = record_svg(workflow)
    assert svg is not None
    assert "18 tokens" in svg
    json.dumps(completion)


async def test_many_workflows_at_once_do_not_mix(flows: Workflows) -> None:
    flows.stage.upstream.respond = lambda body: (
        Script(text=TWO_FACTS)
        if body["model"] == "planner-model"
        else Script(text=body["messages"][0]["content"].split("\n")[0] + "!")
    )
    results = await asyncio.gather(*(flows.run(ultra(f"question {number}")) for number in range(32)))
    assert [result.answer for result in results] == [f"question {number}!" for number in range(32)]


async def test_a_router_that_is_away_does_not_stop_a_failover() -> None:
    async with workflows("writer", "alpha", router=ScriptedRouter(UnavailableError("away"))) as flows:
        flows.plan(plan_text((1, "Say it.", [])))
        flows.stage.say("alpha", Script(status=500))
        flows.stage.say("writer", "said")
        assert (await flows.run(ultra())).answer == "said"


async def test_errors_of_the_fallback_loop_are_the_requests(flows: Workflows) -> None:
    flows.plan("no plan")
    for name in ("writer", "alpha", "beta"):
        flows.stage.say(name, Script(status=500))
    result = await flows.run(ultra(kubefugu={"allow": ["alpha"]}))
    assert isinstance(result.error, WorkerError)
