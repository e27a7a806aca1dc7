"""No output crashes the reader, and no accepted plan breaks a rule: hypothesis against an independent check of the rules."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.plans import plans

from kubefugu_coordination.workflow.diagnosis import NOTES
from kubefugu_coordination.workflow.parse import RawPlan, parse_plan
from kubefugu_coordination.workflow.plan import Plan, render_lists
from kubefugu_coordination.workflow.step_lines import render_step_lines
from kubefugu_coordination.workflow.validate import PlanReading, read_plan, validate_plan

WORKERS = ("alpha", "beta", "gamma")

_SPACELESS = r"""model_id subtasks: access_list= models "workers": [ ] [[]] [0,1] [True] ["a","b"] " ' \ \ud800 <think>
</think> ``` - : { } "all" [-1] [1e999] ( ) # b' None "a" -> alpha => [0]"""
_FRAGMENTS = st.sampled_from([*_SPACELESS.split(), '"' * 3, "\n", " ", "\x00"])
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 6)
    | st.floats()
    | st.sampled_from(["all", "ALL ", "", " ", "do it", "\ud83d", "0"]),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)


def check_accepted(reading: PlanReading, raw: RawPlan | None, max_steps: int) -> None:
    """The rules of a plan, written down a second time."""
    plan = reading.plan
    if plan is None:
        assert any(found.code not in NOTES for found in reading.diagnoses)
        return
    assert all(found.code in NOTES for found in reading.diagnoses)
    assert 1 <= len(plan.steps) <= max_steps
    for index, step in enumerate(plan.steps):
        assert step.worker in WORKERS
        assert step.subtask.strip()
        step.subtask.encode("utf-8")
        assert all(type(seen) is int and 0 <= seen < index for seen in step.access)
    for index in range(plan.final):
        assert any(index in later.access for later in plan.steps[index + 1 :])
    if raw is not None:
        assert len(raw.model_id) == len(raw.subtasks) == len(raw.access_list)
        assert all(value in WORKERS or (type(value) is int and 0 <= value < len(WORKERS)) for value in raw.model_id)


@settings(max_examples=600, deadline=None)
@given(st.lists(_FRAGMENTS | st.text(max_size=5), max_size=40).map("".join))
def test_no_text_crashes_the_reader(text: str) -> None:
    check_accepted(read_plan(text, workers=WORKERS), None, 5)


@settings(max_examples=600, deadline=None)
@given(
    st.lists(_VALUES | st.integers(0, 2) | st.sampled_from(WORKERS), max_size=6),
    st.lists(_VALUES | st.text(max_size=8), max_size=6),
    st.lists(_VALUES | st.lists(st.integers(0, 5) | st.just("all"), max_size=3), max_size=6),
    st.integers(1, 6),
)
def test_no_invalid_lists_are_accepted(ids: list[Any], subtasks: list[Any], access: list[Any], max_steps: int) -> None:
    raw = RawPlan(ids, subtasks, access)
    check_accepted(validate_plan(raw, workers=WORKERS, max_steps=max_steps), raw, max_steps)
    text = json.dumps({"model_id": ids, "subtasks": subtasks, "access_list": access})
    check_accepted(read_plan(text, workers=WORKERS, max_steps=max_steps), None, max_steps)


_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=30).map(str.strip).filter(bool)


@settings(max_examples=300, deadline=None)
@given(plans(subtasks=_TEXTS))
def test_a_rendered_plan_reads_back_as_itself(plan: Plan) -> None:
    """The training format is the executor's format: what is rendered for training is what serving reads."""
    ids = {name: index for index, name in enumerate(WORKERS)}
    for text in (render_lists(plan, ids), render_step_lines(plan)):
        assert read_plan(text, workers=WORKERS) == PlanReading(plan, ())
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


@settings(max_examples=200, deadline=None)
@given(plans(subtasks=_TEXTS), st.text(max_size=30), st.text(max_size=30))
def test_surrounding_text_never_changes_a_plan_into_another(plan: Plan, before: str, after: str) -> None:
    ids = {name: index for index, name in enumerate(WORKERS)}
    reading = read_plan(f"{before}\n{render_lists(plan, ids)}\n{after}", workers=WORKERS)
    check_accepted(reading, None, 5)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="[]'\"\\ab,0 ", max_size=60))
def test_lists_of_punctuation(source: str) -> None:
    result = parse_plan(f"model_id: [{source}\nsubtasks: [{source}]\naccess_list: {source}]")
    assert isinstance(result, (RawPlan, tuple))
