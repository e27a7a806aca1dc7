"""Who may plan, and what a planner is asked."""

from __future__ import annotations

import json

import pytest
from support.pools import pool_of, worker

from kubefugu_conductor.main import check_planner
from kubefugu_conductor.planner import default_planners
from kubefugu_coordination.workflow.diagnosis import Diagnosis, PlanCode
from kubefugu_coordination.workflow.offer import OfferedWorker
from kubefugu_coordination.workflow.planner_prompt import EXAMPLES, PlanFormat, planner_messages, repair_messages
from kubefugu_coordination.workflow.validate import read_plan
from kubefugu_core.errors import DataError

URL = "http://127.0.0.1:9/v1"
ASKED = [{"role": "user", "content": "What is it?"}]


def test_specialists_do_not_plan_and_schema_decoders_come_first() -> None:
    pool = pool_of(
        worker("narrow", URL, specialist=True, capabilities=["jsonSchema"]),
        worker("plain", URL),
        worker("schema", URL, capabilities=["jsonSchema"]),
    )
    assert default_planners(pool.spec.workers, named="") == ["schema", "plain"]
    assert default_planners(pool.spec.workers, named="plain") == ["plain"]
    assert default_planners(pool.spec.workers, named="absent") == []


def test_a_pool_without_a_planner_is_refused_at_start() -> None:
    with pytest.raises(DataError, match="only specialists"):
        check_planner(pool_of(worker("narrow", URL, specialist=True)), "")
    with pytest.raises(DataError, match="no worker 'absent'"):
        check_planner(pool_of(worker("plain", URL)), "absent")
    check_planner(pool_of(worker("plain", URL), planner="plain"), "")


@pytest.mark.parametrize("output", list(PlanFormat))
def test_the_examples_are_plans_that_the_reader_accepts_without_a_note(output: PlanFormat) -> None:
    messages = planner_messages(ASKED, workers=[OfferedWorker("a")], output=output)
    answers = [message["content"] for message in messages if message["role"] == "assistant"]
    assert len(answers) == len(EXAMPLES)
    for answer, example in zip(answers, EXAMPLES, strict=True):
        reading = read_plan(answer, workers=[worker.name for worker in example.workers])
        assert reading.plan == example.plan
        assert reading.diagnoses == ()
        assert (output is PlanFormat.JSON) == answer.startswith("{")


def test_no_example_exceeds_the_step_limit() -> None:
    messages = planner_messages(ASKED, workers=[OfferedWorker("a")], max_steps=1)
    assert [json.loads(m["content"].split("\n")[0].split(": ")[1]) for m in messages if m["role"] == "assistant"] == [[2]]


def test_a_long_task_keeps_its_head_and_tail_and_says_so() -> None:
    text = "HEAD" + "x" * 50_000 + "TAIL"
    asked = planner_messages([{"role": "user", "content": text}], workers=[OfferedWorker("a")], max_task_chars=3_000)
    content = asked[-1]["content"]
    assert len(content) < 3_200
    assert content.index("HEAD") < content.index("characters left out") < content.index("TAIL")


def test_history_images_and_tool_calls_are_told_as_text() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "x"}}],
        },
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "look", "arguments": "{}"}}]},
        {"role": "tool", "content": "a cat"},
    ]
    content = planner_messages(messages, workers=[OfferedWorker("a")])[-1]["content"]
    assert "system: Be brief." in content
    assert "user: What is this?\n[image_url]" in content
    assert "assistant: [calls look({})]" in content
    assert "tool: a cat" in content


def test_the_repair_turn_bounds_what_it_shows() -> None:
    found = Diagnosis(PlanCode.LIST_MISSING, "No list follows the label subtasks.")
    messages = repair_messages([{"role": "user", "content": "plan"}], "y" * 100_000, [found])
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert len(messages[1]["content"]) == 8_000
    assert "- LIST_MISSING: No list follows" in messages[2]["content"]
