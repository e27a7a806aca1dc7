"""Targets of the warm start: p_q = softmax(r_q / tau), optionally with the cost of each worker taken off its score.

One answer a question is a noisy measurement of what a worker can do with such questions. Where questions fall into kinds (the
table's labels, or clusters of features where it has none), the mean over a kind is far less noisy, so that rewards mixed with
these means make better targets. The router is never told the kind: the head still has to find it in the features.
"""

from __future__ import annotations

from collections.abc import Sequence

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


_PRIOR_ROWS = 10.0
"""How many questions the overall mean counts for in the mean of a kind."""
_CLUSTER_ROWS = 80
"""Questions of a cluster, about."""
_MOST_CLUSTERS = 32


def kind_means(reward: FloatArray, kinds: Sequence[object]) -> FloatArray:
    """Mean rewards of each row's kind, (n, L), drawn towards the overall mean where the kind is rare."""
    overall = reward.mean(axis=0)
    index: dict[object, int] = {}
    number = np.array([index.setdefault(kind, len(index)) for kind in kinds])
    counts = np.bincount(number, minlength=len(index)).astype(np.float64)
    sums = np.zeros((len(index), reward.shape[1]))
    np.add.at(sums, number, reward)
    means = (sums + _PRIOR_ROWS * overall) / (counts + _PRIOR_ROWS)[:, None]
    return np.asarray(means[number], dtype=np.float64)


def clusters(z: FloatArray, *, seed: int) -> list[int]:
    """Kinds found in coordinates (n, k) by k-means on their directions (Lloyd 1982)."""
    from sklearn.cluster import MiniBatchKMeans

    count = int(np.clip(len(z) // _CLUSTER_ROWS, 2, _MOST_CLUSTERS))
    unit = z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)
    model = MiniBatchKMeans(n_clusters=count, n_init=3, random_state=seed, batch_size=1024)
    return [int(label) for label in model.fit_predict(unit.astype(np.float32))]
