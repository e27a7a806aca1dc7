"""Rollouts: plans run by the serving executor code against real HTTP workers on script."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.pools import pool_of, worker
from support.tiny_conductor import PLAN, item
from support.upstream import Script, Upstream

from kubefugu_coordination.workflow.offer import CONDUCTOR
from kubefugu_coordination.workflow.plan import Plan, Step
from kubefugu_coordination.workflow.planning import Planning, PlanningRequest
from kubefugu_core.errors import KubefuguError
from kubefugu_trainer.grpo.reward import task_reward
from kubefugu_trainer.grpo.rollouts import PlanRunner
from kubefugu_trainer.runs.replies import DiskReplyCache

ANSWERS = {"alpha-model": "A is 1.", "beta-model": "B is 2."}
LOSING = 'model_id: [0, 1]\nsubtasks: ["A", "B"]\naccess_list: [[], []]'


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        server.respond = lambda body: Script(text=ANSWERS[body["model"]])
        yield server


@pytest.fixture
async def runner(upstream: Upstream, tmp_path: Path) -> AsyncIterator[PlanRunner]:
    pool = pool_of(worker("alpha", upstream.url), worker("beta", upstream.url))
    cache = DiskReplyCache(tmp_path / "replies.sqlite")
    made = PlanRunner(pool, cache=cache)
    yield made
    await made.close()
    cache.close()


async def test_right_wrong_and_unreadable_plans(runner: PlanRunner) -> None:
    texts = [PLAN, LOSING, "no plan"]
    right, wrong, invalid = await runner.run_all([item()] * 3, texts)
    assert [task_reward(rollout) for rollout in (right, wrong, invalid)] == [1.0, 0.5, 0.0]
    assert (right.steps, right.calls, right.lossy, right.answer) == (3, 2, False, "A is 1.\n\nB is 2.")
    assert (wrong.steps, wrong.lossy) == (1, True)
    assert invalid.codes


async def test_the_same_step_of_another_plan_is_not_asked_again(runner: PlanRunner, upstream: Upstream) -> None:
    await runner.run(item(), PLAN)
    asked = len(upstream.requests)
    again = await runner.run(item(), PLAN)
    assert len(upstream.requests) == asked == 2
    assert again.score == 1.0
    await runner.run(item("Another task."), PLAN)
    assert len(upstream.requests) == 4, "the key is the full request, so another task is another one"


async def test_replies_survive_the_process(upstream: Upstream, tmp_path: Path) -> None:
    pool = pool_of(worker("alpha", upstream.url), worker("beta", upstream.url))
    for _ in range(2):
        cache = DiskReplyCache(tmp_path / "kept.sqlite")
        runner = PlanRunner(pool, cache=cache)
        assert (await runner.run(item(), PLAN)).score == 1.0
        await runner.close()
        cache.close()
    assert len(upstream.requests) == 2


async def test_a_refusal_is_the_plans_fault_and_a_dead_server_is_not(upstream: Upstream, tmp_path: Path) -> None:
    narrow: dict[str, Any] = {"specialist": True}
    pool = pool_of(worker("alpha", upstream.url, **narrow), worker("beta", upstream.url, **narrow))
    runner = PlanRunner(pool, timeout_s=10)
    upstream.respond = lambda body: Script(refusal="Not mine.")
    refused = await runner.run(item(), 'model_id: [0]\nsubtasks: ["A"]\naccess_list: [[]]')
    assert (task_reward(refused), refused.calls) == (0.5, 2)
    await runner.close()
    dead = PlanRunner(pool_of(worker("alpha", "http://127.0.0.1:9/v1"), worker("beta", "http://127.0.0.1:9/v1")), timeout_s=4)
    with pytest.raises(KubefuguError):
        await dead.run(item(), PLAN)
    await dead.close()


async def test_without_failover_naming_the_right_worker_is_what_earns(upstream: Upstream) -> None:
    pool = pool_of(worker("alpha", upstream.url, specialist=True), worker("beta", upstream.url, specialist=True))
    both = Script(text="A is 1. B is 2.")
    upstream.respond = lambda body: both if body["model"] == "alpha-model" else Script(refusal="Not mine.")
    for failover, wrong, calls in ((True, 1.0, 2), (False, 0.5, 1)):
        runner = PlanRunner(pool, timeout_s=10, failover=failover)
        declined = await runner.run(item(), '"Do it." -> beta')
        assert (task_reward(declined), declined.calls) == (wrong, calls)
        assert task_reward(await runner.run(item(), '"Do it." -> alpha')) == 1.0
        await runner.close()


async def test_a_step_given_to_the_conductor_itself_is_planned_below(upstream: Upstream) -> None:
    asked: list[PlanningRequest] = []

    async def below(request: PlanningRequest) -> Planning:
        asked.append(request)
        return Planning(plan=Plan((Step("alpha", "A"), Step("beta", "B"), Step("@join", "Both", (0, 1)))))

    recursive = replace(item(), workers=(*item().workers, CONDUCTOR))
    text = 'model_id: [3]\nsubtasks: ["Do it all."]\naccess_list: [[]]'
    pool = pool_of(worker("alpha", upstream.url), worker("beta", upstream.url))
    runner = PlanRunner(pool, below=below)
    assert task_reward(await runner.run(recursive, text)) == 1.0
    await runner.close()
    upstream.respond = lambda body: Script(text="B is 2.")
    alone = PlanRunner(pool)
    assert task_reward(await alone.run(recursive, text)) == 0.5, "without it a worker does the step"
    await alone.close()
    assert len(asked) == 1
    assert "Do it all." in str(asked[0].messages)
    assert not asked[0].allow_recursion, "one level"
