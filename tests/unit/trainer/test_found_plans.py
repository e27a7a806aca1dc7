"""Plans that chance finds: the cheapest right one of each question, the same for the same seed."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from support.tiny_conductor import item

from kubefugu_coordination.workflow.validate import read_plan
from kubefugu_trainer.evolution.stopping import RunStoppedError
from kubefugu_trainer.grpo.found_plans import Found, find_plans
from kubefugu_trainer.grpo.items import Item
from kubefugu_trainer.grpo.rollouts import Rollout
from kubefugu_trainer.runs.progress import SilentReporter

TASK = "What is alpha here? What is beta here?"
ITEMS = [item(TASK, number=number) for number in (3, 5)]


def run_plans(items: Sequence[Item], texts: Sequence[str]) -> list[Rollout]:
    """Question 3 needs both workers for their own part; nothing helps question 5."""
    rollouts = []
    for asked, text in zip(items, texts, strict=True):
        plan = read_plan(text, workers=asked.names, max_steps=asked.max_steps).plan
        assert plan is not None, "proposals are valid"
        done = {(step.subtask, step.worker) for step in plan.steps}
        right = {("What is alpha here?", "alpha"), ("What is beta here?", "beta")} <= done
        calls = sum(step.worker != "@join" for step in plan.steps)
        rollouts.append(Rollout(valid=True, score=float(right and asked.number == 3), steps=len(plan.steps), calls=calls))
    return rollouts


def find(*, seed: int = 0, stop: threading.Event | None = None) -> list[Found]:
    return find_plans(
        ITEMS, tries=60, seed=seed, run_plans=run_plans, reporter=SilentReporter(), stop=stop or threading.Event()
    )


def test_the_cheapest_right_plan_of_a_question_is_found() -> None:
    found = find()
    assert [plan.number for plan in found] == [3]
    plan = read_plan(found[0].text, workers=ITEMS[0].names, max_steps=3).plan
    assert plan is not None
    assert [step.worker for step in plan.steps if step.worker != "@join"] in (["alpha", "beta"], ["beta", "alpha"])
    assert find() == found


def test_a_stopped_search_says_so() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(RunStoppedError, match="begins it again"):
        find(stop=stop)
