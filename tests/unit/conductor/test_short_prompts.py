"""The prompts of trained planners, and the text that they shall write."""

from __future__ import annotations

import time

import pytest

from kubefugu_coordination.workflow.offer import JOIN, OfferedWorker
from kubefugu_coordination.workflow.plan import Plan, Step
from kubefugu_coordination.workflow.planner_prompt import PromptStyle, plan_text, planner_messages
from kubefugu_coordination.workflow.step_lines import parse_step_lines
from kubefugu_coordination.workflow.validate import read_plan

WORKERS = (OfferedWorker("geo", "Facts about countries (GeoNames): capitals."), OfferedWorker("units", "Conversion."), JOIN)
PLAN = Plan((Step("geo", 'Capital of "Peru" [x]?'), Step("units", "5 miles in km?"), Step("@join", "Both.", (0, 1))))
TASK = [{"role": "user", "content": "Capital of Peru? 5 miles in km?"}]


@pytest.mark.parametrize("style", list(PromptStyle))
def test_the_text_of_a_plan_is_read_back_without_a_note(style: PromptStyle) -> None:
    text = plan_text(PLAN, WORKERS, style=style)
    reading = read_plan(text, workers=[worker.name for worker in WORKERS])
    assert (reading.plan, reading.diagnoses) == (PLAN, ())
    assert ("geo" in text) is (style is PromptStyle.STEPS)


def test_a_trained_planner_is_told_the_last_question_alone() -> None:
    talk = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
    ]
    alone = planner_messages(TASK, workers=WORKERS, style=PromptStyle.STEPS)
    assert planner_messages([*talk, *TASK], workers=WORKERS, style=PromptStyle.STEPS) == alone
    assert "Be brief." in planner_messages([*talk, *TASK], workers=WORKERS)[-1]["content"]


def test_the_prompt_is_two_short_messages_with_the_head_of_each_description() -> None:
    asked = planner_messages(TASK, workers=(*WORKERS, OfferedWorker("plain")), style=PromptStyle.STEPS, max_steps=3)
    assert [message["role"] for message in asked] == ["system", "user"]
    assert "at most 3 lines" in asked[0]["content"]
    told = "Workers:\ngeo: Facts about countries\nunits: Conversion\n@join: Joins results\nplain\nTask:\n"
    assert asked[1]["content"] == told + TASK[0]["content"]


def test_a_step_is_one_line() -> None:
    text = plan_text(PLAN, WORKERS, style=PromptStyle.STEPS)
    assert text.splitlines() == ['"Capital of \\"Peru\\" [x]?" -> geo', '"5 miles in km?" -> units', '"Both." -> @join all']


@pytest.mark.parametrize("name", ["7", "true", "null", "v1.5"])
def test_every_name_of_a_worker_is_read_back(name: str) -> None:
    plan = Plan((Step(name, "Do it."),))
    text = plan_text(plan, [OfferedWorker("other"), OfferedWorker(name)], style=PromptStyle.STEPS)
    assert read_plan(text, workers=["other", name]).plan == plan


@pytest.mark.parametrize(
    "text",
    [
        '"a" -> w' + " " * 60_000 + "x",
        '"a" -> w [0]' + " ," * 30_000 + "x",
        "</think" * 9_000,
        "x" * 60_000,
        '"' + "\\" * 60_000,
        " " * 60_000 + '"a',
        "<think>" * 8_000,
        '"a" -> w\n' * 6_000,
        '"a" -> ' + "9" * 60_000,
    ],
    ids=["spaces", "commas", "half tags", "no tag", "escapes", "lead", "thoughts", "steps", "digits"],
)
def test_a_hostile_text_costs_no_more_than_its_length(text: str) -> None:
    before = time.process_time()
    parse_step_lines(text)
    assert time.process_time() - before < 5, "quadratic reading takes minutes"
