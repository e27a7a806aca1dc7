"""The reward of a plan (Conductor, arXiv 2512.04388, section 3.2) and what groups of them tell. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kubefugu_trainer.grpo.config import ConductorConfig
from kubefugu_trainer.grpo.rollouts import Rollout

RIGHT = 0.999
"""Score from which an answer counts as right."""


def task_reward(rollout: Rollout) -> float:
    """0 for a text that is no valid plan, 0.5 for one that was executed and is wrong, 1 for a right answer."""
    if not rollout.valid:
        return 0.0
    return 1.0 if rollout.score >= RIGHT else 0.5


def training_reward(rollout: Rollout, config: ConductorConfig) -> float:
    """The task's reward less what the plan's worker calls cost; never below 0."""
    return max(0.0, task_reward(rollout) - config.cost_weight * rollout.cost_usd - config.call_weight * rollout.calls)


def zero_variance(rewards: Sequence[float], group: int) -> list[bool]:
    """For each group of consecutive rewards, True where all are equal: such a group teaches nothing at beta 0."""
    grouped = np.asarray(rewards, dtype=np.float64).reshape(-1, group)
    return [bool(flat) for flat in np.ptp(grouped, axis=1) < 1e-9]


def most_contested(rewards: Sequence[float], group: int, *, count: int) -> list[int]:
    """Numbers of the `count` groups of consecutive rewards with the largest variance, in their order."""
    spread = np.asarray(rewards, dtype=np.float64).reshape(-1, group).var(axis=1)
    return sorted(int(number) for number in np.argsort(-spread, kind="stable")[:count])
