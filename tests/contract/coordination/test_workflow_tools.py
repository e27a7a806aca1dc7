"""Tool calls inside workflows: handed to the client, waited for, resumed; and the memory that they leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.clocks import FakeClock
from support.routers import ScriptedRouter, decide
from support.upstream import Script
from support.workflows import WorkflowResult, Workflows, plan_text, said, ultra, workflows

from kubefugu_coordination.events import Resumed, StopReason
from kubefugu_coordination.job import Job
from kubefugu_coordination.memory import ToolCallMemory
from kubefugu_coordination.workflow.parking import ParkingLot
from kubefugu_coordination.workflow.record import record_svg
from kubefugu_coordination.workflow.runner import WorkflowRun
from kubefugu_coordination.workflow.tool_ids import ToolCallIds
from kubefugu_core.errors import InvalidRequestError, UnavailableError, UnsupportedFeatureError, WorkflowExpiredError
from kubefugu_core.stores.state_sqlite import SqliteState

TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
QUESTION = {"role": "user", "content": "What are A and B?"}
TWO_FACTS = plan_text((1, "Find A.", []), (2, "Find B.", []), (0, "Join A and B.", "all"))
MEMBERS = {name: {"capabilities": ["tools"]} for name in ("writer", "alpha", "beta")}


def calls(*arguments: str, identity: str = "call_own", text: str | None = None) -> Script:
    """A worker that calls `look` once for each argument."""
    made = [
        {"id": f"{identity}{n}", "type": "function", "function": {"name": "look", "arguments": argument}}
        for n, argument in enumerate(arguments)
    ]
    return Script(text=text, tool_calls=made, finish_reason="tool_calls")


@pytest.fixture
async def flows(tmp_path: Path) -> AsyncIterator[Workflows]:
    router = ScriptedRouter(decide("beta", roles=False, order=("beta", "writer", "alpha")))
    store = SqliteState(tmp_path / "state.db")
    async with workflows("writer", "alpha", "beta", router=router, members=MEMBERS) as made:
        made.parking = await ParkingLot.open(store, ttl_s=60)
        made.memory = ToolCallMemory(store)
        made.plan(TWO_FACTS)
        made.stage.say("writer", "A and B.")
        made.stage.say("alpha", "A is 1.")
        made.stage.say("beta", "B is 2.")
        yield made
    await store.close()


def message_of(result: WorkflowResult) -> dict[str, Any]:
    """The assistant's message as a client puts it into its next request."""
    if result.done.completion_json:
        message: dict[str, Any] = result.completion["choices"][0]["message"]
        return {"role": "assistant", "content": message["content"], "tool_calls": message["tool_calls"]}
    found: dict[int, dict[str, Any]] = {}
    for chunk in result.chunks:
        for choice in chunk["choices"]:
            for call in choice["delta"].get("tool_calls") or ():
                known = found.setdefault(call["index"], {"type": "function", "function": {"name": "", "arguments": ""}})
                known["id"] = call.get("id", known.get("id"))
                for part in ("name", "arguments"):
                    known["function"][part] += call["function"].get(part) or ""
    return {"role": "assistant", "content": result.answer or None, "tool_calls": list(found.values())}


def resumed(messages: Sequence[dict[str, Any]], *results: str, **members: Any) -> Job:
    """The client's next request: the conversation, whose last message calls tools, and their results."""
    ids = [call["id"] for call in messages[-1]["tool_calls"]]
    told = [{"role": "tool", "tool_call_id": i, "content": text} for i, text in zip(ids, results, strict=False)]
    return ultra(messages=[*messages, *told], tools=TOOLS, **members)


async def park(flows: Workflows, **members: Any) -> tuple[WorkflowResult, list[dict[str, Any]]]:
    result = await flows.run(ultra(messages=[QUESTION], tools=TOOLS, **members))
    assert result.error is None
    return result, [QUESTION, message_of(result)]


@pytest.mark.parametrize("stream", [False, True])
async def test_an_inner_steps_call_is_a_standard_tool_call_and_its_result_resumes(flows: Workflows, stream: bool) -> None:
    flows.stage.say("alpha", calls('{"x":1}'), "A is 1.")
    first, messages = await park(flows, stream=stream)
    assert first.done.stop_reason is StopReason.TOOL_CALLS
    (call,) = messages[1]["tool_calls"]
    assert call["function"] == {"name": "look", "arguments": '{"x":1}'}
    assert call["id"].startswith("kfw_")
    assert ("0", "alpha", "waiting") in first.steps
    assert ("1", "beta", "ok") in first.steps, "what does not depend on the tool has run"
    assert not flows.stage.bodies("writer")
    if stream:
        assert first.chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
        assert first.sse.endswith(b"data: [DONE]\n\n")
    else:
        assert first.completion["choices"][0]["finish_reason"] == "tool_calls"

    second = await flows.run(resumed(messages, "x is one", stream=stream))
    assert second.answer == "A and B."
    assert second.steps == [("0", "alpha", "ok"), ("2", "writer", "ok")]
    asked = flows.stage.bodies("alpha")[1]["messages"]
    assert asked[-2]["tool_calls"][0]["id"] == "call_own0", "the worker gets its own id back"
    assert asked[-1] == {"role": "tool", "tool_call_id": "call_own0", "content": "x is one"}
    assert asked[: len(flows.stage.bodies("alpha")[0]["messages"])] == flows.stage.bodies("alpha")[0]["messages"]
    final = said(flows.stage.bodies("writer")[0])
    assert "B is 2." in final
    assert "x is one" not in final, "the tool's result is the calling step's own"
    assert len(flows.stage.bodies("planner")) == 1


async def test_parallel_calls_of_several_steps_return_together(flows: Workflows) -> None:
    flows.stage.say("alpha", calls('{"x":1}', '{"x":2}'), "A is 1.")
    flows.stage.say("beta", calls('{"y":1}'), "B is 2.")
    _, messages = await park(flows)
    told = {call["function"]["arguments"]: call["id"] for call in messages[1]["tool_calls"]}
    assert set(told) == {'{"x":1}', '{"x":2}', '{"y":1}'}
    with pytest.raises(InvalidRequestError, match=messages[1]["tool_calls"][2]["id"]):
        resumed(messages, "only one")
    # A client that leaves calls out of the assistant's message as well gets past the rules of a conversation, not past ours.
    fewer = {**messages[1], "tool_calls": messages[1]["tool_calls"][:1]}
    partial = await flows.run(resumed([QUESTION, fewer], "only one"))
    assert isinstance(partial.error, InvalidRequestError)
    assert partial.error.field == "messages"
    missing = [call["id"] for call in messages[1]["tool_calls"][1:]]
    assert all(identity in str(partial.error) for identity in missing)
    results = [f"result of {call['function']['arguments']}" for call in messages[1]["tool_calls"]]
    second = await flows.run(resumed(messages, *results))
    assert second.answer == "A and B."
    alpha = [m["content"] for m in flows.stage.bodies("alpha")[-1]["messages"] if m["role"] == "tool"]
    assert alpha == ['result of {"x":1}', 'result of {"x":2}']


@pytest.mark.parametrize("stream", [False, True])
async def test_the_last_step_may_call_tools_round_after_round(flows: Workflows, stream: bool) -> None:
    flows.stage.say("writer", calls("{}", identity="one", text="Let me look."), calls("{}", identity="two"), "Seen.")
    first, messages = await park(flows, stream=stream)
    assert messages[1]["content"] == "Let me look."
    second = await flows.run(resumed(messages, "first result", stream=stream))
    assert second.done.stop_reason is StopReason.TOOL_CALLS
    longer = [*resumed(messages, "first result").chat.messages, message_of(second)]
    third = await flows.run(resumed(longer, "second result", stream=stream))
    assert third.answer == "Seen."
    history = flows.stage.bodies("writer")[-1]["messages"]
    assert [m.get("content") for m in history if m["role"] == "tool"] == ["first result", "second result"]
    assert history[0]["content"].startswith(QUESTION["content"])
    (event,) = [event for event in third.events if isinstance(event, Resumed)]
    assert len(event.decisions) == 2
    assert b"one0" not in first.sse


async def test_a_repeated_resumption_answers_again(flows: Workflows) -> None:
    """A client that lost the answer sends the same results once more."""
    flows.stage.say("alpha", calls("{}"), "A is 1.")
    _, messages = await park(flows)
    results = await asyncio.gather(*(flows.run(resumed(messages, "one")) for _ in range(2)))
    assert [result.answer for result in results] == ["A and B."] * 2


async def test_an_expired_workflow_is_an_error_that_says_so(flows: Workflows, tmp_path: Path) -> None:
    clock = FakeClock()
    store = SqliteState(tmp_path / "expiring.db", now=clock.time)
    flows.parking = await ParkingLot.open(store, ttl_s=60)
    flows.stage.say("alpha", calls("{}"), "A is 1.")
    _, messages = await park(flows)
    clock.advance(61)
    result = await flows.run(resumed(messages, "too late"))
    assert isinstance(result.error, WorkflowExpiredError)
    assert "expired" in str(result.error)
    await store.close()


async def test_another_tenant_cannot_resume_it_nor_find_out_that_it_exists(flows: Workflows) -> None:
    flows.stage.say("alpha", calls("{}"), "A is 1.")
    _, messages = await park(flows)
    job = resumed(messages, "mine now")
    stolen = Job(chat=job.chat, request_id=job.request_id, tenant="mallory", created=job.created)
    with pytest.raises(WorkflowExpiredError) as caught:
        flows.run_of(stolen)
    ids = ToolCallIds(b"a guessed secret")
    forged = [QUESTION, {**messages[1], "tool_calls": [{**messages[1]["tool_calls"][0], "id": ids.mint("acme", "00" * 12, 0)}]}]
    with pytest.raises(WorkflowExpiredError) as unknown:
        flows.run_of(resumed(forged, "guess"))
    assert str(unknown.value) == str(caught.value)


async def test_results_of_two_workflows_in_one_request_are_refused(flows: Workflows) -> None:
    flows.stage.say("alpha", calls("{}"))
    (_, one), (_, two) = await park(flows), await park(flows)
    both = [QUESTION, {**one[1], "tool_calls": one[1]["tool_calls"] + two[1]["tool_calls"]}]
    with pytest.raises(InvalidRequestError, match="several workflows"):
        flows.run_of(resumed(both, "1", "2"))


async def test_a_history_without_the_calling_message_is_refused(flows: Workflows) -> None:
    flows.stage.say("alpha", calls("{}"))
    _, messages = await park(flows)
    other = {**messages[1], "tool_calls": [{**messages[1]["tool_calls"][0], "id": "call_x"}]}
    job = resumed(messages, "result")
    job.chat.messages[1] = other
    result = await flows.run(job)
    assert isinstance(result.error, InvalidRequestError)


async def test_a_conversation_with_the_clients_own_tool_history_is_planned_anew(flows: Workflows) -> None:
    history = [
        QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "call_theirs", "type": "function", "function": {"name": "look", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "call_theirs", "content": "seen before"},
    ]  # fmt: skip
    result = await flows.run(ultra(messages=history, tools=TOOLS))
    assert result.answer == "A and B."
    assert "tool: seen before" in said(flows.stage.bodies("planner")[0])


async def test_tools_go_to_workers_that_support_them_only(flows: Workflows, tmp_path: Path) -> None:
    members = {"writer": {"capabilities": ["tools"]}}
    async with workflows("writer", "alpha", router=flows.router, members=members) as made:
        made.parking, made.memory = flows.parking, flows.memory
        made.plan(plan_text((1, "Find A.", []), (0, "Say A.", [0])))
        made.stage.say("writer", "done")
        made.stage.say("alpha", "A")
        await made.run(ultra(messages=[QUESTION], tools=TOOLS, tool_choice="required"))
        inner, last = made.stage.bodies("alpha")[0], made.stage.bodies("writer")[0]
        assert "tools" not in inner
        assert (last["tools"], last["tool_choice"]) == (TOOLS, "required")
        asked = said(made.stage.bodies("planner")[0])
        assert "0: writer - Can call the user's tools." in asked
        await made.run(ultra(messages=[QUESTION], tools=TOOLS, tool_choice="none"))
        assert not {"tools", "tool_choice"} & set(made.stage.bodies("writer")[1])


async def test_a_worker_that_calls_what_it_was_not_offered_is_a_failure(flows: Workflows) -> None:
    flows.stage.say("alpha", calls("{}"))
    result = await flows.run(ultra())
    assert ("0", "alpha", "failed") in result.steps
    assert ("0", "beta", "ok") in result.steps
    assert result.answer == "A and B."


async def test_a_workflow_below_a_step_waits_and_resumes_too(flows: Workflows) -> None:
    flows.plan(plan_text((4, "Find A and B.", []), (0, "Say both.", [0])), TWO_FACTS)
    flows.stage.say("alpha", calls("{}"), "A is 1.")
    flows.stage.say("writer", "A and B inside.", "Both said.")
    first, messages = await park(flows, reasoning_effort="high")
    assert first.steps[-1][0].startswith("0.")
    second = await flows.run(resumed(messages, "one", reasoning_effort="high"))
    assert second.answer == "Both said."
    assert second.steps == [("0.0", "alpha", "ok"), ("0.2", "writer", "ok"), ("1", "writer", "ok")]
    assert len(flows.stage.bodies("planner")) == 2


async def test_the_record_of_a_parked_and_of_a_resumed_workflow(flows: Workflows) -> None:
    flows.stage.say("alpha", calls("{}"), "A is 1.")
    first, messages = await park(flows)
    assert first.record["parked"]["tool_calls"] == 1
    assert first.record["calls"][0].get("tool_calls") == 1 or first.record["calls"][1].get("tool_calls") == 1
    second = await flows.run(resumed(messages, "one"))
    record = second.record
    assert record["resumed"]["workflow"] == first.record["parked"]["workflow"]
    assert record["resumed"]["decisions"] == [first.completion["id"]]
    assert record["plans"][0]["done_before"] == [1]
    svg = record_svg(record)
    assert svg is not None
    assert svg.count('class="step') == 3


async def test_budgets_are_carried_over_a_wait(tmp_path: Path) -> None:
    prices = {"inputPerMillionTokens": "1000000", "outputPerMillionTokens": "0"}
    members = {name: {"capabilities": ["tools"], "prices": prices} for name in ("writer", "alpha")}
    store = SqliteState(tmp_path / "state.db")
    async with workflows("writer", "alpha", router=ScriptedRouter(decide("writer", roles=False)), members=members) as made:
        made.parking = await ParkingLot.open(store, ttl_s=60)
        made.plan(plan_text((1, "Find A.", []), (0, "Say A.", [0])))
        made.stage.say("alpha", calls("{}"), "A")
        options = {"kubefugu": {"max_cost_usd": 15}}
        _, messages = await park(made, **options)
        # 11 dollars before the wait, 11 after it: the last step can't be paid any more.
        result = await made.run(resumed(messages, "one", **options))
        assert getattr(result.error, "field", None) == "kubefugu.max_cost_usd"
    await store.close()


async def test_memory_is_shared_across_the_workflows_of_a_conversation_only(flows: Workflows) -> None:
    flows.stage.say("alpha", calls('{"x":1}'), "A is 1.")
    options = {"kubefugu": {"conversation": "talk"}}
    _, messages = await park(flows, **options)
    await flows.run(resumed(messages, "the secret result", **options))
    told = '- look({"x":1}) gave: the secret result'

    async def prompts(job: Job) -> list[str]:
        before = len(flows.stage.upstream.requests)
        await flows.run(job)
        return [said(request.body) for request in flows.stage.upstream.requests[before:]]

    assert all(told in prompt for prompt in await prompts(ultra("And now?", **options))), "planner and every worker see it"
    assert not any(told in prompt for prompt in await prompts(ultra("And now?")))
    assert not any(told in prompt for prompt in await prompts(ultra("And now?", kubefugu={"conversation": "another"})))
    job = ultra("And now?", **options)
    stranger = Job(chat=job.chat, request_id=job.request_id, tenant="mallory", created=job.created)
    assert not any(told in prompt for prompt in await prompts(stranger))
    held = [*resumed(messages, "the secret result").chat.messages, {"role": "assistant", "content": "A and B."}]
    again = ultra(messages=[*held, {"role": "user", "content": "And now?"}], tools=TOOLS, **options)
    assert not any("Tool calls made earlier" in prompt for prompt in await prompts(again)), "the conversation holds it itself"


async def test_within_a_workflow_a_steps_tool_calls_are_its_own(flows: Workflows) -> None:
    flows.stage.say("alpha", calls("{}"), "A is 1.")
    options = {"kubefugu": {"conversation": "talk"}}
    _, messages = await park(flows, **options)
    await flows.run(resumed(messages, "the secret result", **options))
    assert "the secret result" not in said(flows.stage.bodies("writer")[-1])


async def test_without_a_store_a_parked_answer_is_an_error_not_a_promise(flows: Workflows, tmp_path: Path) -> None:
    assert flows.parking is not None
    flows.stage.say("alpha", calls("{}"))
    (tmp_path / "file").write_text("")
    flows.parking = ParkingLot(SqliteState(tmp_path / "file" / "state.db"), secret=b"s" * 32, ttl_s=60)
    result = await flows.run(ultra(messages=[QUESTION], tools=TOOLS))
    assert isinstance(result.error, UnavailableError)
    flows.parking = None
    with pytest.raises(UnsupportedFeatureError):
        flows.run_of(ultra(messages=[QUESTION], tools=TOOLS))


async def test_while_the_store_cannot_be_reached_requests_with_tools_are_to_be_tried_again(flows: Workflows) -> None:
    flows.stage.say("alpha", calls("{}"))
    _, messages = await park(flows)
    run = flows.run_of(ultra())
    parts = replace(run._parts, parking=None, parking_pending=True)
    pool, deadline = flows.stage.workers.snapshot(), run.deadline
    for job in (ultra(messages=[QUESTION], tools=TOOLS), resumed(messages, "one")):
        with pytest.raises(UnavailableError):
            WorkflowRun(job, pool=pool, parts=parts, deadline=deadline)
    WorkflowRun(ultra(), pool=pool, parts=parts, deadline=deadline)
