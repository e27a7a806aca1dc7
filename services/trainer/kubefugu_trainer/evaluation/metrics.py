"""Figures of a method from its decisions. Pure; scores are (n, L) in [0, 1], choices are worker indices (n,)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def chosen(values: FloatArray, choices: IntArray) -> FloatArray:
    """Value of the chosen worker for each question, shape (n,)."""
    return values[np.arange(len(choices)), choices]


def regret(scores: FloatArray, got: FloatArray) -> float:
    """Mean score lost against the best worker of each question in hindsight."""
    return float(np.mean(scores.max(axis=1) - got))


def softmax(logits: FloatArray) -> FloatArray:
    """Rows sum to 1."""
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exp / exp.sum(axis=1, keepdims=True), dtype=np.float64)


def expected_calibration_error(confidence: FloatArray, outcome: FloatArray, *, bins: int = 15) -> float:
    """ECE with equal-mass bins (Nixon et al. 2019, "adaptive"): mean |confidence - outcome| over bins, weighted by size.

    `confidence` in [0, 1] is what the method says, `outcome` in [0, 1] what came, both (n,).
    """
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    return float(sum(abs(confidence[p].mean() - outcome[p].mean()) * len(p) for p in parts) / len(order))


def agreement(scores: FloatArray, choices: IntArray) -> float:
    """Share of questions where the chosen worker is one of the best (ties count)."""
    return float(np.mean(chosen(scores, choices) >= scores.max(axis=1)))


def best_single(scores: FloatArray) -> int:
    """Worker with the highest mean score; the first of equals."""
    return int(np.argmax(scores.mean(axis=0)))
