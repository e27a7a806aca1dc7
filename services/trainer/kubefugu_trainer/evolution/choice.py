"""From logits to choices to fitness. Pure.

Fitness = mean score + w_entropy * entropy of worker choice - w_cost * mean cost (ALGORITHMS 4.2, single turn).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubefugu_core.errors import DataError
from kubefugu_trainer.evolution.config import EvolutionConfig

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Draw:
    """What a candidate is measured on: B questions, whom each may go to, and the noise of sampled choices."""

    rows: IntArray
    """Rows of the outcome table, shape (B,)."""
    allowed: BoolArray
    """(B, L)."""
    noise: FloatArray
    """Gumbel noise (B, L) that turns argmax into sampling from the softmax; (0, 0): argmax."""
    seeds: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """(B,) live episodes: what each samples with."""


@dataclass(frozen=True, slots=True)
class Generation:
    """The draws of one generation: one for all candidates (common random numbers), or one each."""

    number: int
    """Counted from 0."""
    draws: tuple[Draw, ...]

    def draw(self, candidate: int) -> Draw:
        """The draw of a candidate."""
        return self.draws[candidate if len(self.draws) > 1 else 0]


@dataclass(frozen=True, slots=True)
class Measured:
    """One candidate's figures."""

    fitness: float
    score: float
    """Mean score of the chosen workers."""
    entropy: float
    """Of the shares, in nats."""
    cost: float
    """Mean cost in US dollars; 0 where the table has none."""
    shares: tuple[float, ...]
    """Share of the questions (of the turns, in live episodes) that each worker got, (L,)."""
    turns: float = 1.0
    """Mean number of turns."""
    roles: tuple[float, ...] = ()
    """Share of the turns that each role had (solver, thinker, verifier); () for single turns."""

    def to_json(self) -> dict[str, Any]:
        """As JSON can carry it; floats survive exactly."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any, *, workers: int) -> Measured:
        """Read `to_json` back. Raises DataError for anything else: missing parts, a wrong number of shares, not finite."""
        try:
            numbers = {name: float(value[name]) for name in ("fitness", "score", "entropy", "cost")}
            numbers["turns"] = float(value.get("turns", 1.0))
            shares = tuple(float(share) for share in value["shares"])
            roles = tuple(float(share) for share in value.get("roles", ()))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"not the result of a candidate: {error!r}") from error
        if len(shares) != workers or not all(math.isfinite(number) for number in (*numbers.values(), *shares, *roles)):
            raise DataError(f"not the result of a candidate: {len(shares)} shares for {workers} workers, or not finite")
        return cls(**numbers, shares=shares, roles=roles)


def draw_generation(
    rng: np.random.Generator,
    config: EvolutionConfig,
    *,
    number: int,
    train: IntArray,
    workers: int,
    candidates: int,
    episodes: bool = False,
) -> Generation:
    """Draw a generation's questions from the training rows `train`, its k-of-n subsets, and its noise or episodes' seeds."""
    count = 1 if config.common_random_numbers else candidates
    return Generation(number, tuple(_draw(rng, config, train, workers, episodes) for _ in range(count)))


def _draw(rng: np.random.Generator, config: EvolutionConfig, train: IntArray, workers: int, episodes: bool) -> Draw:
    size = len(train) if config.batch == 0 else min(config.batch, len(train))
    rows = train if size == len(train) else np.sort(rng.choice(train, size=size, replace=False))
    allowed = np.ones((size, workers), dtype=np.bool_)
    if 0 < config.subset < workers:
        order = rng.random((size, workers)).argsort(axis=1)
        allowed = order.argsort(axis=1) < config.subset
    if episodes:
        return Draw(rows.astype(np.int64), allowed, np.zeros((0, 0)), rng.integers(2**62, size=size, dtype=np.int64))
    noise = rng.gumbel(size=(size, workers)) if config.sample else np.zeros((0, 0))
    return Draw(rows.astype(np.int64), allowed, noise)


def choose(logits: NDArray[np.floating], draw: Draw) -> IntArray:
    """The worker of each question, (B,): argmax over the allowed ones, after noise where there is some."""
    scored = np.asarray(logits, dtype=np.float64)
    if draw.noise.size:
        scored = scored + draw.noise
    return np.asarray(np.where(draw.allowed, scored, -np.inf).argmax(axis=1), dtype=np.int64)


def entropy(shares: FloatArray) -> float:
    """Entropy in nats."""
    positive = shares[shares > 0]
    return float(-(positive * np.log(positive)).sum()) + 0.0


def measure(
    picked: IntArray, scores: FloatArray, costs: FloatArray | None, *, entropy_weight: float, cost_weight: float
) -> Measured:
    """Figures of choices (B,) on the questions' scores and costs (B, L)."""
    index = np.arange(len(picked))
    shares = np.bincount(picked, minlength=scores.shape[1]) / len(picked)
    score = float(scores[index, picked].mean())
    cost = 0.0 if costs is None else float(costs[index, picked].mean())
    spread = entropy(shares)
    fitness = score + entropy_weight * spread - cost_weight * cost
    return Measured(fitness, score, spread, cost, tuple(shares.tolist()))
