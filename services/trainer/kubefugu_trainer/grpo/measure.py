"""How well a planner does on held-out questions: share of valid plans, reward, right answers; and a paired comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kubefugu_routing.causal.generate import Sampling, generate
from kubefugu_routing.causal.load import CausalModel
from kubefugu_trainer.grpo.config import ConductorConfig
from kubefugu_trainer.grpo.items import Item
from kubefugu_trainer.grpo.reward import task_reward
from kubefugu_trainer.grpo.rollouts import Rollout
from kubefugu_trainer.runs.progress import Reporter

_BATCH = 64
_DRAWS = 10_000


def plan_texts(
    base: CausalModel, model: Any, items: Sequence[Item], *, config: ConductorConfig, temperature: float, seed: int = 0
) -> list[str]:
    """One plan for each item; temperature 0 is greedy. The first output counts: no repair turn."""
    model.eval()
    texts: list[str] = []
    for start in range(0, len(items), _BATCH):
        prompts = [base.encode_chat(item.messages()) for item in items[start : start + _BATCH]]
        sampling = Sampling(max_tokens=config.max_tokens, temperature=temperature, seed=seed * 10_007 + start)
        found = generate(model, prompts, end_tokens=base.end_tokens, sampling=sampling)
        texts.extend(base.decode(samples[0].tokens) for samples in found)
    return texts


def measure(
    name: str,
    base: CausalModel,
    model: Any,
    items: Sequence[Item],
    *,
    config: ConductorConfig,
    run_plans: Callable[[Sequence[Item], Sequence[str]], list[Rollout]],
    reporter: Reporter,
) -> dict[str, Any]:
    """Greedy (and sampled) plans of a model on held-out items, with every item's outcome."""
    kinds = (("greedy", 0.0), ("sampled", config.temperature))[: 1 + config.measure_sampled]
    reporter.start(name, total=len(kinds))
    result: dict[str, Any] = {"name": name, "n": len(items)}
    for kind, temperature in kinds:
        texts = plan_texts(base, model, items, config=config, temperature=temperature, seed=config.seed)
        rollouts = run_plans(items, texts)
        result[kind] = summary(rollouts) | {
            "plans": texts,
            "rewards": [task_reward(rollout) for rollout in rollouts],
            "scores": [rollout.score for rollout in rollouts],
            "codes": [list(rollout.codes) for rollout in rollouts],
        }
        reporter.advance(1, kind=kind, valid=result[kind]["valid"], reward=result[kind]["reward"])
    reporter.finish()
    return result


def summary(rollouts: Sequence[Rollout]) -> dict[str, float]:
    """Means over plans."""
    return {
        "valid": float(np.mean([rollout.valid for rollout in rollouts])),
        "reward": float(np.mean([task_reward(rollout) for rollout in rollouts])),
        "right": float(np.mean([task_reward(rollout) == 1.0 for rollout in rollouts])),
        "steps": float(np.mean([rollout.steps for rollout in rollouts])),
        "calls": float(np.mean([rollout.calls for rollout in rollouts])),
        "lossy": float(np.mean([rollout.lossy for rollout in rollouts])),
    }


def paired(before: Sequence[float], after: Sequence[float], *, seed: int = 0) -> dict[str, float]:
    """Mean difference of paired values, its 95 % bootstrap interval over items, and the exact two-sided sign test's p.

    Ties say nothing about the sign and are left out of it.
    """
    from scipy.stats import binomtest

    difference = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    rng = np.random.default_rng(seed)
    means = difference[rng.integers(len(difference), size=(_DRAWS, len(difference)))].mean(axis=1)
    better, worse = int((difference > 0).sum()), int((difference < 0).sum())
    p = float(binomtest(better, better + worse).pvalue) if better + worse else 1.0
    low, high = np.quantile(means, [0.025, 0.975])
    return {
        "difference": float(difference.mean()),
        "low": float(low),
        "high": float(high),
        "better": better,
        "worse": worse,
        "p": p,
    }
