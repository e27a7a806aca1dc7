"""One test for each mistake that published Conductors are known for, named after it (ALGORITHMS.md section 3)."""

from __future__ import annotations

import pytest

from kubefugu_coordination.workflow.diagnosis import PlanCode
from kubefugu_coordination.workflow.plan import Plan, Step, render_lists
from kubefugu_coordination.workflow.validate import PlanReading, read_plan

WORKERS = ("alpha", "beta", "gamma")


def read(ids: object, subtasks: object, access: object, *, max_steps: int = 5) -> PlanReading:
    return read_plan(
        f"model_id: {ids!r}\nsubtasks: {subtasks!r}\naccess_list: {access!r}", workers=WORKERS, max_steps=max_steps
    )


def codes(reading: PlanReading) -> list[PlanCode]:
    return [found.code for found in reading.diagnoses]


def test_bug_plans_that_could_not_be_parsed() -> None:
    """Thoughts, fences, backticks, bullets, aliases and prose around a perfectly good plan made it unreadable."""
    text = (
        "<think>model_id: [9, 9]</think>\nSure, here it is:\n```python\n- **Models**: `[0, 1]`\n"
        "- **Tasks**: ['Find [x] for \"y\".', \"It's done: say so.\"]\n- **Access**: [[], ['all']]\n```\nGood luck!"
    )
    plan = read_plan(text, workers=WORKERS).plan
    assert plan == Plan((Step("alpha", 'Find [x] for "y".'), Step("beta", "It's done: say so.", (0,))))


@pytest.mark.parametrize("entry", ["all", ["all"], ["ALL"], [0, "all"]])
def test_bug_all_granted_nothing(entry: object) -> None:
    """ "all" in a list was looked up as a step and granted access to none."""
    plan = read([0, 1, 2], ["a", "b", "c"], [[], [], entry]).plan
    assert plan is not None
    assert plan.steps[2].access == (0, 1)


def test_bug_worker_ids_were_wrapped_by_a_modulo() -> None:
    reading = read([3], ["a"], [[]])
    assert reading.plan is None
    assert codes(reading) == [PlanCode.ID_OUT_OF_RANGE]
    assert codes(read([-1], ["a"], [[]])) == [PlanCode.ID_OUT_OF_RANGE]


def test_bug_booleans_and_floats_counted_as_ids() -> None:
    assert codes(read([True, 1.0], ["a", "b"], [[], [0]])) == [PlanCode.ID_NOT_AN_INTEGER] * 2


def test_bug_steps_beyond_the_maximum_were_cut_silently() -> None:
    """The cut dropped the step that was the answer."""
    reading = read([0] * 6, list("abcdef"), ["all"] * 6)
    assert reading.plan is None
    assert codes(reading) == [PlanCode.TOO_MANY_STEPS]


def test_bug_lists_of_different_lengths_were_zipped() -> None:
    assert codes(read([0, 1, 2], ["a", "b"], [[], [0]])) == [PlanCode.LENGTHS_DIFFER]


def test_bug_steps_could_see_later_steps() -> None:
    assert codes(read([0, 1], ["a", "b"], [[1], [0]])) == [PlanCode.ACCESS_NOT_EARLIER]
    assert codes(read([0], ["a"], [[0]])) == [PlanCode.ACCESS_NOT_EARLIER]


def test_bug_an_empty_last_step_was_the_answer() -> None:
    reading = read([0, 1, 2], ["a", "b", ""], [[], [0], [1]])
    assert reading.plan is not None
    assert reading.plan.steps[-1].subtask == "b"
    assert codes(reading) == [PlanCode.TRAILING_STEP_EMPTY]


def test_bug_steps_that_nothing_uses_were_paid_for() -> None:
    reading = read([0, 1, 2, 0], ["a", "b", "c", "d"], [[], [0], [], [2]])
    assert reading.plan == Plan((Step("gamma", "c"), Step("alpha", "d", (0,))))
    assert [(found.code, found.step) for found in reading.diagnoses] == [(PlanCode.STEP_UNUSED, 0), (PlanCode.STEP_UNUSED, 1)]


def test_bug_planner_was_trained_in_another_language_than_its_executor() -> None:
    """Training renders with the function whose output the executor's reader accepts without a note, worker by worker."""
    plan = Plan((Step("gamma", "Find \\pi."), Step("alpha", 'Say "π".'), Step("beta", "Join.", (0, 1))))
    assert read_plan(render_lists(plan, {"alpha": 0, "beta": 1, "gamma": 2}), workers=WORKERS) == PlanReading(plan, ())


def test_every_error_is_told_at_once_with_its_step() -> None:
    """One repair turn must be enough to see everything that is wrong."""
    reading = read([9, "betty"], ["a", ""], [[0], "some"])
    assert [(found.code, found.step) for found in reading.diagnoses] == [
        (PlanCode.ID_OUT_OF_RANGE, 0),
        (PlanCode.ID_NOT_AN_INTEGER, 1),
        (PlanCode.ACCESS_NOT_EARLIER, 0),
        (PlanCode.ACCESS_NOT_A_LIST, 1),
    ]
    assert "'betty'" in reading.diagnoses[1].message


@pytest.mark.parametrize(
    "steps",
    [
        (),
        (Step("alpha", " "),),
        (Step("", "a"),),
        (Step("alpha", "a", (0,)),),
        (Step("alpha", "a"), Step("beta", "b")),
        (Step("alpha", "a"), Step("beta", "b", (0, 0))),
    ],
)
def test_an_unexecutable_plan_cannot_be_constructed(steps: tuple[Step, ...]) -> None:
    with pytest.raises(ValueError, match="step"):
        Plan(steps)
