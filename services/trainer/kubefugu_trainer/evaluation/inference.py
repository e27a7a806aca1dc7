"""Intervals and paired tests. Everything that draws takes a generator."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

FloatArray = NDArray[np.float64]
_CHUNK_ELEMENTS = 4_000_000


def _resampled_means(values: FloatArray, rng: np.random.Generator, draws: int) -> FloatArray:
    """Means of `draws` bootstrap samples, computed in pieces to bound memory."""
    n = len(values)
    step = max(1, _CHUNK_ELEMENTS // n)
    parts = [values[rng.integers(0, n, size=(min(step, draws - i), n))].mean(axis=1) for i in range(0, draws, step)]
    return np.concatenate(parts)


def bootstrap_interval(
    values: FloatArray, rng: np.random.Generator, *, draws: int = 5000, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of the mean over questions (Efron & Tibshirani 1993, chapter 13)."""
    means = _resampled_means(values, rng, draws)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_bootstrap(first: FloatArray, second: FloatArray, rng: np.random.Generator, *, draws: int = 10_000) -> float:
    """Two-sided p for equal means of paired values: the centred difference is resampled (Efron & Tibshirani, chapter 16)."""
    difference = first - second
    observed = abs(float(difference.mean()))
    if not np.any(difference):
        return 1.0
    means = _resampled_means(difference - difference.mean(), rng, draws)
    return float((1 + np.sum(np.abs(means) >= observed - 1e-12)) / (1 + draws))


def mcnemar(first: FloatArray, second: FloatArray) -> float | None:
    """Exact two-sided McNemar p for paired 0/1 outcomes (McNemar 1947; exact binomial); None where some score is between."""
    both = np.concatenate([first, second])
    if not np.isin(both, (0.0, 1.0)).all():
        return None
    wins, losses = int(np.sum(first > second)), int(np.sum(first < second))
    if wins + losses == 0:
        return 1.0
    return float(min(1.0, 2 * binom.cdf(min(wins, losses), wins + losses, 0.5)))


def paired_p(first: FloatArray, second: FloatArray, rng: np.random.Generator) -> float:
    """The p that is reported: exact McNemar for 0/1 outcomes, else the paired bootstrap."""
    exact = mcnemar(first, second)
    return exact if exact is not None else paired_bootstrap(first, second, rng)
