"""The best single worker on a Conductor run's questions: what a planner has to beat, executed and checked as its plans are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import orjson

from kubefugu_coordination.workflow.plan import JOIN_WORKER, SELF_WORKER
from kubefugu_core.errors import DataError
from kubefugu_trainer.grpo.items import Item
from kubefugu_trainer.grpo.rollouts import Rollout
from kubefugu_trainer.runs.progress import Reporter


def single_text(item: Item, worker: str) -> str:
    """The plan that gives the whole question to one worker."""
    plan = {"model_id": [item.names.index(worker)], "subtasks": [item.question.prompt], "access_list": [[]]}
    return orjson.dumps(plan).decode()


def best_single(
    training: Sequence[Item],
    held_out: Sequence[Item],
    *,
    run_plans: Callable[[Sequence[Item], Sequence[str]], list[Rollout]],
    reporter: Reporter,
) -> dict[str, Any]:
    """The worker with the best mean score on training questions (the first of equals), and its scores on held-out ones.

    Every item must offer every worker. Raises DataError where none does, and what executing raises.
    """
    names = [name for name in training[0].names if name not in (JOIN_WORKER, SELF_WORKER)]
    if any(name not in item.names for item in (*training, *held_out) for name in names):
        raise DataError("Single workers are measured on questions that offer all of them.")
    reporter.start("single workers", total=len(names) + 1)
    means = {}
    for name in names:
        rollouts = run_plans(training, [single_text(item, name) for item in training])
        means[name] = float(np.mean([rollout.score for rollout in rollouts]))
        reporter.advance(1, worker=name, score=means[name])
    best = max(names, key=lambda name: means[name])
    rollouts = run_plans(held_out, [single_text(item, best) for item in held_out])
    reporter.advance(1, worker=best)
    reporter.finish()
    return {"best": best, "training": means, "scores": [rollout.score for rollout in rollouts]}
