"""`@join`: the built-in worker that puts results together without asking anybody."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from support.routers import ScriptedRouter, decide
from support.upstream import Script
from support.workflows import Workflows, plan_text, said, ultra, workflows

JOIN = 3
"""Its number: behind the three workers of the pool."""
TWO_PARTS = plan_text((1, "Find A.", []), (2, "Find B.", []), (JOIN, "Give both.", [0, 1]))


@pytest.fixture
async def flows() -> AsyncIterator[Workflows]:
    router = ScriptedRouter(decide("writer", roles=False))
    async with workflows("writer", "alpha", "beta", router=router) as made:
        made.plan(TWO_PARTS)
        made.stage.say("alpha", "A is 1.")
        made.stage.say("beta", "B is 2.")
        yield made


async def test_results_come_word_for_word_in_the_order_of_their_steps_and_nobody_is_asked(flows: Workflows) -> None:
    result = await flows.run(ultra())
    assert result.answer == "A is 1.\n\nB is 2."
    assert flows.stage.bodies("writer") == []
    assert sorted(result.steps[:2]) == [("0", "alpha", "ok"), ("1", "beta", "ok")]
    assert result.steps[2] == ("2", "@join", "ok")
    assert result.record["calls"][-1]["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "estimated": False}
    assert result.done.spent.prompt_tokens == 33, "the planner's and two workers' calls, nothing for the join"
    assert result.done.worker == "@join"


async def test_a_joined_answer_is_streamed_like_any_other(flows: Workflows) -> None:
    result = await flows.run(ultra(stream=True, stream_options={"include_usage": True}))
    assert result.answer == "A is 1.\n\nB is 2."
    assert result.sse.endswith(b"data: [DONE]\n\n")
    assert result.chunks[-1]["usage"]["prompt_tokens"] == 33


async def test_a_part_that_failed_is_named(flows: Workflows) -> None:
    for name in ("writer", "alpha"):
        flows.stage.say(name, Script(status=500))
    flows.stage.say("beta", "B is 2.", Script(status=500))
    flows.plan(plan_text((2, "Find B.", []), (1, "Find A.", [0]), (JOIN, "Give both.", [0, 1])))
    result = await flows.run(ultra())
    assert result.answer == "B is 2.\n\n(No answer to: Find A.)"


async def test_it_is_offered_where_the_answers_form_is_open_and_there_is_more_than_one_step(flows: Workflows) -> None:
    for members, offered in (
        ({}, True),
        ({"response_format": {"type": "text"}}, True),
        ({"kubefugu": {"max_steps": 1}}, False),
        ({"logprobs": True}, False),
    ):
        await flows.run(ultra(**members))
        assert ("3: @join" in said(flows.stage.bodies("planner")[-1])) is offered, members


async def test_a_join_in_the_middle_feeds_the_step_that_sees_it(flows: Workflows) -> None:
    flows.plan(plan_text((1, "Find A.", []), (2, "Find B.", []), (JOIN, "Both.", "all"), (0, "Add them.", [2])))
    flows.stage.say("writer", "Together 3.")
    result = await flows.run(ultra())
    assert result.answer == "Together 3."
    assert "A is 1.\n\nB is 2." in said(flows.stage.bodies("writer")[0])
