"""Policies on the same held-out episodes: means, paired intervals and tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubefugu_trainer.episodes.fitness import EpisodeFitness
from kubefugu_trainer.episodes.play import Episode
from kubefugu_trainer.episodes.router import HeadPolicy
from kubefugu_trainer.evolution.holdout import per_group
from kubefugu_trainer.evolution.vector import Vector

_CHUNK = 8


class EpisodeJudge:
    """The mean vector against the search's start, and against stage 1 as it is served. See subject.Judge."""

    def __init__(self, fitness: EpisodeFitness, *, start: Vector, stage1: HeadPolicy | None, seed: int, level: float) -> None:
        """`stage1`: the artifact that the search began with, where it has no role rows (it then answers in one turn)."""
        self._fitness = fitness
        self._start = start
        self._stage1 = stage1
        self._seed = seed
        self._level = level

    def __call__(self, x: Vector, check_stop: Callable[[], None]) -> dict[str, Any]:
        """See Judge."""
        policies = {"found": self._fitness.policy(x), "start": self._fitness.policy(self._start)}
        if self._stage1 is not None:
            policies["stage1"] = self._stage1
        played = {name: played_by(self._fitness, policy, check_stop) for name, policy in policies.items()}
        rows = self._fitness.set.held_out_rows
        labels = [self._fitness.set.groups[int(row)] for row in rows]
        figures = report(played, labels, seed=self._seed, level=self._level)
        found = figures["policies"]["found"]
        told = {
            "split": "held out",
            "items": len(rows),
            "score": found["score"],
            "score_ci": found["score_ci"],
            "turns": found["turns"],
            "level": self._level,
            "rewards": [episode.reward for episode in played["found"]],
        }
        for other in (name for name in policies if name != "found"):
            against = figures["against"][f"found - {other}"]
            told |= {
                f"{other}_score": figures["policies"][other]["score"],
                f"gain_over_{other}": against["gain"],
                f"gain_over_{other}_ci": against["gain_ci"],
                f"p_vs_{other}": against["p"],
            }
        return told | {"groups": figures["groups"], "policies": figures["policies"]}


def played_by(fitness: EpisodeFitness, policy: HeadPolicy, check_stop: Callable[[], None] = lambda: None) -> list[Episode]:
    """All held-out episodes of a policy, as served."""
    rows = fitness.set.held_out_rows
    found: list[Episode] = []
    for begin in range(0, len(rows), _CHUNK):
        check_stop()
        found += fitness.play(policy, rows[begin : begin + _CHUNK], fitness.serving_rules)
    return found


def report(played: Mapping[str, Sequence[Episode]], labels: Sequence[str], *, seed: int, level: float) -> dict[str, Any]:
    """Figures of several policies on the same questions: each one's, the first against each other one, and by label."""
    from kubefugu_trainer.evaluation.inference import bootstrap_interval, paired_p

    rng = np.random.default_rng([seed, *b"episodes"])
    rewards = {name: np.array([episode.reward for episode in episodes]) for name, episodes in played.items()}
    policies = {
        name: {
            "score": float(rewards[name].mean()),
            "score_ci": list(bootstrap_interval(rewards[name], rng, level=level)),
            "turns": float(np.mean([max(1, len(episode.calls)) for episode in episodes])),
            "cost_usd": float(np.mean([episode.cost_usd for episode in episodes])),
            "calls": _calls(episodes),
        }
        for name, episodes in played.items()
    }
    first, *others = rewards
    against = {}
    for other in others:
        difference: NDArray[np.float64] = rewards[first] - rewards[other]
        against[f"{first} - {other}"] = {
            "gain": float(difference.mean()),
            "gain_ci": list(bootstrap_interval(difference, rng, level=level)),
            "p": paired_p(rewards[first], rewards[other], rng),
            "better": int((difference > 0).sum()),
            "worse": int((difference < 0).sum()),
        }
    return {
        "items": len(labels), "level": level, "policies": policies, "against": against, "groups": per_group(labels, rewards),
    }  # fmt: skip


def _calls(episodes: Sequence[Episode]) -> dict[str, int]:
    """How often each role was given to each worker."""
    counts: dict[str, int] = {}
    for call in (call for episode in episodes for call in episode.calls):
        name = f"{call.role} {call.worker}"
        counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))
