"""Who is asked next, how long a step may take, and what a request may spend."""

from __future__ import annotations

import pytest
from hypothesis import given
from support.plans import plans
from support.pools import pool_of, worker

from kubefugu_coordination.spend import Ledger
from kubefugu_coordination.workers import TokenUsage
from kubefugu_coordination.workflow.budget import Carried, Meter, WorkflowBudget
from kubefugu_coordination.workflow.order import asking_order, chains, share_s
from kubefugu_coordination.workflow.plan import Plan, Step
from kubefugu_core.errors import BudgetExceededError
from kubefugu_core.pool import Capability

URL = "http://127.0.0.1:9/v1"
WORKERS = pool_of(
    worker("last", URL, fallback=True),
    worker("narrow", URL, specialist=True),
    worker("other", URL, specialist=True, capabilities=["tools"]),
    worker("broad", URL, capabilities=["tools", "vision"]),
).spec.workers


def test_the_planned_worker_first_generalists_before_specialists_fallback_last() -> None:
    assert asking_order("narrow", WORKERS, needs=()) == ["narrow", "broad", "other", "last"]
    assert asking_order("last", WORKERS, needs=()) == ["last", "broad", "narrow", "other"]


def test_where_a_specialist_declined_the_others_come_first() -> None:
    assert asking_order("gone", WORKERS, needs=(), declined=True) == ["narrow", "other", "broad", "last"]


def test_the_routers_ranking_decides_where_there_is_one() -> None:
    ranking = ["last", "other", "narrow", "broad"]
    assert asking_order("narrow", WORKERS, needs=(), ranking=ranking) == ["narrow", "other", "broad", "last"]


def test_workers_that_lack_a_capability_are_left_out_the_planned_one_too() -> None:
    assert asking_order("narrow", WORKERS, needs=[Capability.TOOLS]) == ["broad", "other"]
    assert asking_order("narrow", WORKERS, needs=[Capability.LOGPROBS]) == []


def test_a_step_gets_its_share_of_the_time_that_is_left() -> None:
    assert share_s(90, 3) == 30
    assert share_s(90, 1) == 90
    assert share_s(-1, 2) == 0


@given(plans(max_steps=7))
def test_chains_are_the_longest_ways_to_the_answer(plan: Plan) -> None:
    access = [step.access for step in plan.steps]
    found = chains(access)

    def longest(index: int) -> int:
        return 1 + max((longest(later) for later, seen in enumerate(access) if index in seen), default=0)

    assert dict(found) == {index: longest(index) for index in range(len(access))}
    assert plan.depth() == max(found.values())


def test_critical_path_is_the_longest_chain_not_the_sum() -> None:
    plan = Plan((Step("a", "a"), Step("b", "b"), Step("c", "c", (0,)), Step("d", "d", (1, 2))))
    assert plan.critical_path([1.0, 10.0, 2.0, 0.5].__getitem__) == 10.5
    assert plan.critical_path([9.0, 10.0, 2.0, 0.5].__getitem__) == 11.5


@pytest.mark.parametrize(
    ("budget", "which", "field"),
    [
        (WorkflowBudget(max_steps=1), "steps", "kubefugu.max_steps"),
        (WorkflowBudget(max_tokens=10), "tokens", None),
        (WorkflowBudget(max_cost_usd=0.5), "cost", "kubefugu.max_cost_usd"),
    ],
)
def test_a_used_up_budget_admits_no_further_step(budget: WorkflowBudget, which: str, field: str | None) -> None:
    meter = Meter(budget, Ledger())
    meter.admit_step()
    meter.ledger.book(TokenUsage(6, 4), 0.5)
    with pytest.raises(BudgetExceededError) as caught:
        meter.admit_step()
    assert (caught.value.metadata["budget"], caught.value.field) == (which, field)
    with pytest.raises(BudgetExceededError):
        Meter(budget, Ledger(), meter.used()).admit_step()


def test_what_a_parked_workflow_used_is_carried_over() -> None:
    meter = Meter(WorkflowBudget(max_cost_usd=1.0), Ledger(), Carried(steps=2, tokens=10, cost_usd=0.25))
    meter.admit_step()
    meter.ledger.book(TokenUsage(3, 4), 0.5)
    assert meter.used() == Carried(steps=3, tokens=17, cost_usd=0.75)
    assert meter.left_usd() == 0.25
    assert Meter(WorkflowBudget(), Ledger()).left_usd() is None


def test_recursion_is_bounded_by_depth_and_by_steps() -> None:
    meter = Meter(WorkflowBudget(max_steps=2, max_depth=1), Ledger())
    assert meter.may_recurse(0)
    assert not meter.may_recurse(1)
    meter.admit_step()
    meter.admit_step()
    assert not meter.may_recurse(0)
