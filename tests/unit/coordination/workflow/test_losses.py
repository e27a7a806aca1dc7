"""Plans that lose results on the way to the answer: the notes that say so, and the schema that keeps planners from them."""

from __future__ import annotations

import pytest

from kubefugu_coordination.workflow.diagnosis import LOSSES, PlanCode
from kubefugu_coordination.workflow.offer import JOIN, OfferedWorker, describe_worker
from kubefugu_coordination.workflow.planner_prompt import PlanFormat, planner_messages
from kubefugu_coordination.workflow.schema import plan_schema
from kubefugu_coordination.workflow.validate import read_plan

WORKERS = ["units", "writer", "@join"]


def lists(ids: object, subtasks: object, access: object) -> str:
    return f"model_id: {ids}\nsubtasks: {subtasks}\naccess_list: {access}"


def test_results_given_to_an_engine_that_reads_none_are_noted() -> None:
    text = lists([1, 0], ["Find A.", "Convert B."], [[], [0]])
    reading = read_plan(text, workers=WORKERS, narrow={"units"})
    assert reading.plan is not None
    assert [(found.code, found.step) for found in reading.diagnoses] == [(PlanCode.RESULTS_UNREAD, 1)]
    assert PlanCode.RESULTS_UNREAD in LOSSES
    assert read_plan(text, workers=WORKERS).diagnoses == (), "only for workers that are known to be narrow"


@pytest.mark.parametrize("access", [[[], [], []], [[], [0], []]])
def test_a_join_without_results_is_refused(access: list[list[int]]) -> None:
    reading = read_plan(lists([0, 1, 2], ["A", "B", "Both"], access), workers=WORKERS)
    assert reading.plan is None
    assert [(found.code, found.step) for found in reading.diagnoses] == [(PlanCode.JOIN_WITHOUT_RESULTS, 2)]


def test_under_the_schema_no_plan_ends_in_a_part_or_begins_with_a_join() -> None:
    for branch in plan_schema(WORKERS, max_steps=4, narrow={"units"})["anyOf"]:
        workers, access = branch["properties"]["workers"], branch["properties"]["access_list"]
        assert "@join" not in workers["prefixItems"][0]["enum"]
        if workers["maxItems"] > 1:
            assert workers["prefixItems"][-1]["enum"] == ["writer", "@join"]
            assert access["prefixItems"][-1]["anyOf"][1]["minItems"] == 1
        else:
            assert workers["prefixItems"][0]["enum"] == ["units", "writer"]


def test_a_pool_of_narrow_engines_alone_can_still_be_planned_for() -> None:
    branch = plan_schema(["units", "dates"], max_steps=2, narrow={"units", "dates"})["anyOf"][1]
    assert branch["properties"]["workers"]["prefixItems"][-1]["enum"] == ["units", "dates"]


def test_planners_are_told_who_reads_nothing_else() -> None:
    assert "reads nothing but its subtask" in describe_worker(OfferedWorker("units", narrow=True), 0)


def test_the_examples_use_the_join_where_it_is_offered() -> None:
    asked = [{"role": "user", "content": "What is it?"}]
    for workers, told in (([OfferedWorker("a"), JOIN], True), ([OfferedWorker("a")], False)):
        for output in PlanFormat:
            answers = [m for m in planner_messages(asked, workers=workers, output=output) if m["role"] == "assistant"]
            assert ("Give both results." in answers[0]["content"]) is told
