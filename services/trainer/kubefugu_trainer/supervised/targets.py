"""Targets of the warm start: p_q = softmax(r_q / tau), optionally with the cost of each worker taken off its score."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kubefugu_core.errors import DataError
from kubefugu_trainer.outcomes.table import OutcomeTable

FloatArray = NDArray[np.float64]


def rewards(table: OutcomeTable, *, cost_weight: float) -> FloatArray:
    """Rewards (n, L): scores, minus `cost_weight` times the cost in units of the dearest worker's mean training cost.

    Raises DataError where costs are wanted and the table has none.
    """
    if cost_weight == 0:
        return table.scores
    if table.costs is None:
        raise DataError(f"{table.source}: --cost-weight needs a 'cost:<worker>' column for every worker", field="cost_weight")
    dearest = float(table.costs[table.rows("train")].mean(axis=0).max())
    return table.scores - cost_weight * table.costs / dearest if dearest > 0 else table.scores


def targets(reward: FloatArray, tau: float) -> FloatArray:
    """softmax(reward / tau), rows sum to 1."""
    scaled = reward / tau
    exp = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(exp / exp.sum(axis=1, keepdims=True), dtype=np.float64)
