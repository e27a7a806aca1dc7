"""The coordination loop with real HTTP workers on script: a test for each rule and each known deviation of earlier systems."""

from __future__ import annotations

import asyncio

import pytest
from support.loops import REQUEST_ID, Run, chat, stage
from support.routers import ScriptedRouter, decide
from support.upstream import Script

from kubefugu_coordination.events import Outcome, Progress, RoleSource, StopReason
from kubefugu_core.errors import (
    BudgetExceededError,
    InvalidRequestError,
)
from kubefugu_core.pool import Role

ADVICE = "<suggestion>count again</suggestion><suggested_role>{}</suggested_role>"
HIGH = {"reasoning_effort": "high"}


async def test_one_turn_costs_one_route_and_one_worker_call() -> None:
    async with stage("a", "b") as s:
        router = ScriptedRouter(decide("b", order=("a",)))
        run = await s.run(router, chat())
        assert run.answer == "Hello there, this is the upstream."
        assert (len(router.queries), len(s.upstream.requests)) == (1, 1)
        assert run.summary == [("b", "solver", "ok")]
        assert run.done.stop_reason is StopReason.SINGLE_TURN
        assert (run.done.worker, run.done.policy_version, run.done.turns) == ("b", "policy-1", 1)


async def test_the_completion_is_ours_in_identity_and_the_workers_in_content() -> None:
    async with stage("a") as s:
        s.say("a", Script(extra={"annotations": [{"k": 1}]}, finish_reason="length"))
        completion = (await s.run(ScriptedRouter(decide("a")), chat())).completion
        assert (completion["id"], completion["model"], completion["created"]) == (REQUEST_ID, "fugu", 1700000123)
        assert completion["choices"][0]["message"]["annotations"] == [{"k": 1}]
        assert completion["choices"][0]["finish_reason"] == "length"
        assert "kubefugu" not in completion


async def test_in_one_turn_the_worker_gets_the_conversation_exactly_as_sent() -> None:
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "answer"},
        {"role": "user", "content": [{"type": "text", "text": "second"}]},
    ]
    async with stage("a") as s:
        await s.run(ScriptedRouter(decide("a")), chat(messages=messages, temperature=0.3, reasoning_effort="low"))
        assert s.bodies("a") == [{"model": "a-model", "messages": messages, "temperature": 0.3}]


async def test_the_router_reads_the_whole_conversation_not_just_the_last_user_message() -> None:
    messages = [
        {"role": "system", "content": "be brief"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "see"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": "a cat"},
    ]
    able = {"a": {"capabilities": ["tools", "vision"]}}
    async with stage("a", members=able) as s:
        router = ScriptedRouter(decide("a"))
        await s.run(router, chat(messages=messages))
        assert list(router.queries[0].transcript) == [
            ("system", "be brief"),
            ("user", "see\n[image]"),
            ("assistant", "[tool call look]"),
            ("tool", "a cat"),
        ]


async def test_a_verifier_that_accepts_ends_the_loop_with_the_latest_response() -> None:
    async with stage("a", "b") as s:
        s.say("a", "42")
        s.say("b", "The answer is right. **ACCEPT**")
        router = ScriptedRouter(decide("a", order=("b",)), decide("b", "verifier", order=("a",)))
        run = await s.run(router, chat(**HIGH))
        assert run.answer == "42"
        assert run.summary == [("a", "solver", "ok"), ("b", "verifier", "accepted")]
        assert (run.done.stop_reason, run.done.turns, run.done.worker) == (StopReason.ACCEPTED, 2, "a")


async def test_k_turns_return_the_latest_solver_response() -> None:
    async with stage("a", "b") as s:
        s.say("a", "first", "second")
        s.say("b", "REJECT: wrong")
        solve, verify = decide("a", order=("b",)), decide("b", "verifier", order=("a",))
        run = await s.run(ScriptedRouter(solve, verify, solve), chat(reasoning_effort="medium"))
        assert run.answer == "second"
        assert [outcome for _, _, outcome in run.summary] == ["ok", "rejected", "ok"]
        assert run.done.stop_reason is StopReason.MAX_TURNS


async def test_workers_see_earlier_thoughts() -> None:
    """The reference implementation never showed them to the workers."""
    async with stage("a", "b") as s:
        s.say("a", "<idea>it is about 12 km</idea> So the answer is 12 km.")
        s.say("b", "13 km")
        await s.run(
            ScriptedRouter(decide("a", order=("b",)), decide("b", order=("a",))),
            chat("How far?", **HIGH, kubefugu={"max_turns": 2}),
        )
        asked = s.bodies("b")[0]["messages"]
        assert len(asked) == 1
        assert asked[0]["content"].startswith("How far?\n\n<reference_thought_0>\nit is about 12 km\n</reference_thought_0>")


async def test_the_router_observes_reference_thoughts_of_solvers_only() -> None:
    async with stage("a", "b") as s:
        s.say("a", "<idea>idea one</idea>", "plain two")
        s.say("b", ADVICE.format("solver"))
        router = ScriptedRouter(decide("a"), decide("b", "thinker", order=("a",)), decide("a"))
        await s.run(router, chat("Q", **HIGH, kubefugu={"max_turns": 4}))
        first = "<reference_thought_0>\nidea one\n</reference_thought_0>"
        second = "<reference_thought_1>\nplain two\n</reference_thought_1>"
        texts = [query.transcript[-1][1] for query in router.queries]
        assert texts == ["Q", f"Q\n{first}", f"Q\n{first}", f"Q\n{first}\n{second}"]


async def test_a_thinker_gets_query_and_current_response_in_info() -> None:
    async with stage("a", "b") as s:
        s.say("a", "the response")
        s.say("b", ADVICE.format("solver"))
        router = ScriptedRouter(decide("a", order=("b",)), decide("b", "thinker", order=("a",)), decide("a"))
        await s.run(router, chat("the query", tools=None, stop=["x"], max_tokens=50, **HIGH, kubefugu={"max_turns": 3}))
        body = s.bodies("b")[0]
        info = "<info>\n<query>\nthe query\n</query>\n<response>\nthe response\n</response>\n</info>"
        assert info in body["messages"][-1]["content"]
        assert "<suggested_role>" in body["messages"][-1]["content"]
        assert "stop" not in body
        assert body["max_tokens"] == 50


async def test_a_suggestion_is_passed_on_and_its_role_overrides_once_while_the_worker_comes_from_the_head() -> None:
    async with stage("a", "b", "c") as s:
        s.say("a", "first")
        s.say("b", ADVICE.format("solver"))
        s.say("c", "second")
        think = decide("b", "thinker", order=("a", "c"))
        # The router says verifier with worker c: the role is overridden, the worker stays.
        router = ScriptedRouter(decide("a"), think, decide("c", "verifier", order=("a",)), decide("b", "verifier"))
        run = await s.run(router, chat(**HIGH, kubefugu={"max_turns": 3}))
        assert run.answer == "second"
        assert run.routed[2].role_source is RoleSource.THINKER
        assert [offer.roles for offer in router.queries[2].offers] == [(Role.SOLVER,)] * 3
        assert "<suggestion>\ncount again\n</suggestion>" in s.bodies("c")[0]["messages"][-1]["content"]


async def test_half_a_suggestion_counts_as_none() -> None:
    async with stage("a", "b") as s:
        s.say("b", "<suggestion>only half</suggestion>")
        router = ScriptedRouter(decide("b", "thinker", order=("a",)), decide("a"), decide("a"))
        run = await s.run(router, chat("Q", **HIGH, kubefugu={"max_turns": 2}))
        assert s.bodies("a")[0]["messages"] == [{"role": "user", "content": "Q"}]
        assert run.routed[1].role_source is not RoleSource.THINKER


async def test_a_thinkers_analysis_is_never_returned_as_the_answer() -> None:
    async with stage("a", "b") as s:
        s.say("b", "The answer is clearly 7.", "The answer is clearly 7.", "solved")
        think = decide("b", "thinker", order=("a",))
        run = await s.run(ScriptedRouter(think, think, think), chat(**HIGH, kubefugu={"max_turns": 3}))
        assert [role for _, role, _ in run.summary] == ["thinker", "thinker", "solver"]
        assert run.routed[2].role_source is RoleSource.ONLY_TURN
        assert run.answer == "solved"


async def test_a_verifier_picked_before_any_response_becomes_a_solver_turn() -> None:
    async with stage("a") as s:
        run = await s.run(ScriptedRouter(decide("a", "verifier")), chat(**HIGH, kubefugu={"max_turns": 2}))
        assert run.summary[0] == ("a", "solver", "ok")
        assert run.routed[0].role_source is RoleSource.NO_RESPONSE_YET


async def test_a_policy_without_role_rows_takes_one_turn_at_any_effort() -> None:
    async with stage("a") as s:
        run = await s.run(ScriptedRouter(decide("a", roles=False)), chat(**HIGH))
        assert run.summary == [("a", "solver", "ok")]
        assert run.done.stop_reason is StopReason.SINGLE_TURN


async def test_roles_that_a_worker_does_not_allow_are_masked_jointly_with_it() -> None:
    members = {"a": {"roles": ["solver"]}, "b": {"roles": ["verifier"]}}
    async with stage("a", "b", members=members) as s:
        s.say("b", "ACCEPT")
        router = ScriptedRouter(decide("a"), decide("b", "verifier"))
        run = await s.run(router, chat(**HIGH))
        assert [(offer.name, offer.roles) for offer in router.queries[0].offers] == [
            ("a", (Role.SOLVER,)),
            ("b", (Role.VERIFIER,)),
        ]
        assert run.summary == [("a", "solver", "ok"), ("b", "verifier", "accepted")]
        one = ScriptedRouter(decide("a"))
        await s.run(one, chat())
        assert [offer.name for offer in one.queries[0].offers] == ["a"]


async def test_a_role_conversion_never_hands_a_turn_to_a_worker_that_may_not_take_it() -> None:
    async with stage("a", "b", members={"b": {"roles": ["verifier"]}}) as s:
        router = ScriptedRouter(decide("b", "verifier", order=("a",)))
        run = await s.run(router, chat(**HIGH, kubefugu={"max_turns": 1}))
        assert run.summary == [("a", "solver", "ok")]


async def test_tool_calls_of_a_solver_end_the_loop_and_go_to_the_client() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    tools = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    for stream in (False, True):
        async with stage("a", members={"a": {"capabilities": ["tools"]}}) as s:
            s.say("a", Script(text=None, tool_calls=[call], finish_reason="tool_calls"))
            run = await s.run(ScriptedRouter(decide("a")), chat(tools=tools, stream=stream, **HIGH))
            assert run.done.stop_reason is StopReason.TOOL_CALLS
            assert s.bodies("a")[0]["tools"] == tools
            if stream:
                given = [c["choices"][0]["delta"]["tool_calls"] for c in run.chunks if "tool_calls" in c["choices"][0]["delta"]]
                assert given == [[call | {"index": 0}]]
                assert run.chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
            else:
                assert run.completion["choices"][0]["message"]["tool_calls"] == [call]


async def test_thinkers_and_verifiers_get_no_tools() -> None:
    tools = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    async with stage("a", members={"a": {"capabilities": ["tools", "jsonMode"]}}) as s:
        s.say("a", "{}", "ACCEPT")
        router = ScriptedRouter(decide("a"), decide("a", "verifier"))
        await s.run(router, chat(tools=tools, response_format={"type": "json_object"}, tool_choice="auto", **HIGH))
        solver, verifier = s.bodies("a")
        assert "tools" in solver
        assert "response_format" in solver
        assert not {"tools", "tool_choice", "response_format"} & set(verifier)


@pytest.mark.parametrize(
    ("effort", "turns"), [(None, 1), ("none", 1), ("minimal", 1), ("low", 1), ("medium", 3), ("high", 5), ("xhigh", 5)]
)
async def test_turns_by_effort(effort: str | None, turns: int) -> None:
    async with stage("a") as s:
        s.say("a", "x")
        run = await s.run(ScriptedRouter(decide("a")), chat(**({"reasoning_effort": effort} if effort else {})))
        assert len(run.turns) == turns


async def test_the_pools_bound_of_turns_cannot_be_raised() -> None:
    async with stage("a", maxTurns=2) as s:
        run = await s.run(ScriptedRouter(decide("a")), chat(kubefugu={"max_turns": 9}))
        assert len(run.turns) == 2


async def test_several_choices_go_with_one_turn_only() -> None:
    async with stage("a") as s:
        with pytest.raises(InvalidRequestError) as caught:
            s.loop(ScriptedRouter(decide("a")), chat(n=2, **HIGH))
        assert caught.value.field == "n"
        s.loop(ScriptedRouter(decide("a")), chat(n=2))


PRICED = {"prices": {"inputPerMillionTokens": "0", "outputPerMillionTokens": "1000000"}}


async def test_the_cost_cap_ends_the_loop_with_the_latest_response() -> None:
    async with stage("a", members={"a": PRICED}) as s:
        run = await s.run(ScriptedRouter(decide("a")), chat(**HIGH, kubefugu={"max_cost_usd": 10.0}))
        assert len(run.turns) == 2, "7 dollars a call: the second one spends the rest, a third must not begin"
        assert run.done.stop_reason is StopReason.BUDGET
        assert run.done.spent.cost_usd == 14


async def test_a_cap_that_is_spent_to_the_cent_ends_the_loop() -> None:
    async with stage("a", members={"a": PRICED}) as s:
        run = await s.run(ScriptedRouter(decide("a")), chat(**HIGH, kubefugu={"max_cost_usd": 7.0}))
        assert len(run.turns) == 1


async def test_a_worker_that_cannot_be_paid_is_passed_over() -> None:
    dear = {"prices": {"inputPerMillionTokens": "1000000"}}
    async with stage("a", "b", members={"a": dear}) as s:
        run = await s.run(ScriptedRouter(decide("a", order=("b",))), chat("x" * 60, kubefugu={"max_cost_usd": 1.0}))
        assert [worker for worker, _, _ in run.summary] == ["b"]
        run = await s.run(ScriptedRouter(decide("a")), chat("x" * 60, kubefugu={"max_cost_usd": 1.0, "allow": ["a"]}))
        assert isinstance(run.error, BudgetExceededError)
        assert run.error.field == "kubefugu.max_cost_usd"


async def test_allow_and_deny_restrict_what_the_router_is_offered() -> None:
    async with stage("a", "b", "c") as s:
        router = ScriptedRouter(decide("b"))
        await s.run(router, chat(kubefugu={"allow": ["a", "b"], "deny": ["a"]}))
        assert [offer.name for offer in router.queries[0].offers] == ["b"]


async def test_sampling_draws_anew_in_each_turn_from_the_requests_seed() -> None:
    async with stage("a") as s:
        router = ScriptedRouter(decide("a"))
        options = {"max_turns": 3, "sampling": {"seed": 7, "temperature": 0.5}}
        await s.run(router, chat(kubefugu=options))
        assert [(q.sampling.seed, q.sampling.temperature) for q in router.queries if q.sampling] == [
            (7, 0.5),
            (8, 0.5),
            (9, 0.5),
        ]


async def test_usage_counts_everything_and_names_the_orchestration() -> None:
    async with stage("a", "b") as s:
        s.say("a", Script(usage={"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}}))
        s.say("b", Script(text="ACCEPT", usage={"prompt_tokens": 30, "completion_tokens": 2}))
        run = await s.run(ScriptedRouter(decide("a"), decide("b", "verifier")), chat(**HIGH))
        assert run.completion["usage"] == {
            "prompt_tokens": 40,
            "completion_tokens": 7,
            "total_tokens": 47,
            "prompt_tokens_details": {"cached_tokens": 4, "orchestration_input_tokens": 30},
            "completion_tokens_details": {"orchestration_output_tokens": 2},
        }


async def test_an_answer_in_the_making_shows_signs_of_life() -> None:
    async with stage("a", "b") as s:
        s.say("a", Script(hang=True, release=(enough := asyncio.Event())))
        s.say("b", "ACCEPT")
        run = Run([])
        loop = s.loop(ScriptedRouter(decide("a"), decide("b", "verifier")), chat(**HIGH), progress_s=0.05)
        async for event in loop.events():
            run.events.append(event)
            signs = [event.message for event in run.events if isinstance(event, Progress)]
            if signs.count("turn 1: solver a is at work") == 3:
                enough.set()
        assert signs[0] == "turn 1: solver a"
        assert Outcome.ACCEPTED in [turn.outcome for turn in run.turns]


async def test_explain_puts_the_routing_into_the_response() -> None:
    for stream in (False, True):
        async with stage("a", "b") as s:
            run = await s.run(ScriptedRouter(decide("a", order=("b",))), chat(stream=stream, kubefugu={"explain": True}))
            told = (run.chunks[-1] if stream else run.completion)["kubefugu"]
            assert told["decision_id"] == REQUEST_ID
            assert told["routing"][0]["worker"] == "a"
            assert [score["name"] for score in told["routing"][0]["decision"]["workers"]] == ["a", "b"]
