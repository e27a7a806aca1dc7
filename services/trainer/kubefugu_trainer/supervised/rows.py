"""A row for a worker that the head was not trained with, and rows taken out or re-ordered; the other rows stay as they are.

From outcomes: a trained head says by how much each worker is better than the others, on its own scale. On questions that the
new worker and some trained ones (J) answered, the new worker's lead over their mean, r_new - mean_J r, is fitted by least
squares in the features, brought to the head's scale, and added to the mean row of J:

    w_new = mean_J W_j + kappa * v + offset * u,   v.h ~ r_new - mean_J r,   u.h ~ 1,

kappa is one over the slope of the trained workers' centred rewards on their centred logits. Penalty and offset are those with
the best out-of-fold reward of the argmax over J and the new worker; the offset makes up for what shrinking took from the lead.

From a description: the mean of the trained rows, weighted by how alike the descriptions are as the backbone reads them. Such a
row never leads all others, so that the worker takes part only where better known ones are not offered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubefugu_core.errors import ArtifactRefusedError
from kubefugu_routing.policy import PolicyArtifact, WorkerRow
from kubefugu_trainer.supervised.config import RIDGE_PENALTIES
from kubefugu_trainer.supervised.folds import LeastSquares, Problem, fit_least_squares

FloatArray = NDArray[np.float64]
_OFFSETS = (-0.2, -0.1, -0.05, -0.02, 0.0, 0.02, 0.05, 0.1, 0.2)
"""Offsets that are tried, in units of reward."""
_SHARPNESS = 8.0
"""Of the weights of descriptions: exp(8 * cosine)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedRow:
    """A new row and what is known about it."""

    row: NDArray[np.float32]
    """(d,)."""
    provenance: Mapping[str, Any]
    """Goes into the artifact under training.added.<worker>."""


def from_outcomes(
    features: NDArray[np.float32],
    rewards: FloatArray,
    groups: tuple[str, ...] | None,
    head: NDArray[np.float32],
    folds: Sequence[NDArray[np.int64]],
    *,
    seed: int,
) -> FittedRow:
    """Fit the row of a new worker.

    `features` (n, d); `rewards` (n, J + 1): trained workers, then the new one; `head` (J, d): their rows; `folds`: validation
    rows of each fold.
    """
    known, new = rewards[:, :-1], rewards[:, -1]
    logits = features.astype(np.float64) @ head.T.astype(np.float64)
    lead = new - known.mean(axis=1)
    problem = Problem(
        features=features, reward=np.stack([lead, -lead], axis=1), groups=groups, shifted_rows=np.zeros(0, dtype=np.int64),
        shifts=np.zeros((0, features.shape[1]), dtype=np.float32), seed=seed,
    )  # fmt: skip
    fitted = [fit_least_squares(problem, valid, 0.0) for valid in folds]
    kappa = _scale(logits, known)
    offset, penalty, reward = _best(features, logits, rewards, fitted, kappa)
    mean = head.astype(np.float64).mean(axis=0)
    own = np.mean([fold.heads[0, penalty, 0] for fold in fitted], axis=0, dtype=np.float64)
    constant = np.mean([fold.constant for fold in fitted], axis=0)
    before = float(known[np.arange(len(known)), logits.argmax(axis=1)].mean())
    return FittedRow(
        row=np.ascontiguousarray((mean + kappa * (own + offset * constant)).astype(np.float32)),
        provenance={
            "fitted_from": "outcomes", "rows": len(new), "compared_with": head.shape[0], "penalty": RIDGE_PENALTIES[penalty],
            "offset": offset, "scale": kappa, "mean_score": float(new.mean()), "cross_validated_reward": reward,
            "reward_without_it": before,
        },
    )  # fmt: skip


def _scale(logits: FloatArray, reward: FloatArray) -> float:
    """Logits for one unit of reward: one over the slope of centred rewards on centred logits."""
    if reward.shape[1] == 1:
        return float(np.abs(logits).mean()) or 1.0
    x = logits - logits.mean(axis=1, keepdims=True)
    y = reward - reward.mean(axis=1, keepdims=True)
    slope = float((x * y).sum() / max(float((x * x).sum()), 1e-12))
    return 1.0 / max(slope, 1e-3)


def _best(
    features: NDArray[np.float32], logits: FloatArray, rewards: FloatArray, fitted: Sequence[LeastSquares], kappa: float
) -> tuple[float, int, float]:
    """(offset, penalty, reward) with the best out-of-fold reward; the smallest offset, then the largest penalty, of equals."""
    lead = np.empty((len(RIDGE_PENALTIES), len(rewards)))
    for fold in fitted:
        lead[:, fold.valid] = fold.heads[0, :, 0] @ features[fold.valid].T
    middle, rows = logits.mean(axis=1), np.arange(len(rewards))
    found = []
    for penalty in range(len(RIDGE_PENALTIES)):
        for offset in _OFFSETS:
            new = middle + kappa * (lead[penalty] + offset)
            picked = np.concatenate([logits, new[:, None]], axis=1).argmax(axis=1)
            found.append((float(rewards[rows, picked].mean()), -abs(offset), penalty, offset))
    reward, _, penalty, offset = max(found)
    return offset, penalty, reward


def from_description(described: NDArray[np.float32], head: NDArray[np.float32], others: Sequence[str], text: str) -> FittedRow:
    """A row from descriptions. `described` (J + 1, d): features of the trained workers' descriptions, then of the new one."""
    x = described.astype(np.float64)
    moved = x - x[:-1].mean(axis=0)
    unit = moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)
    weights = np.exp(_SHARPNESS * (unit[:-1] @ unit[-1]))
    weights /= weights.sum()
    return FittedRow(
        row=np.ascontiguousarray((weights @ head.astype(np.float64)).astype(np.float32)),
        provenance={
            "fitted_from": "description", "description": text,
            "weights": {name: round(float(w), 4) for name, w in zip(others, weights, strict=True)},
        },
    )  # fmt: skip


def with_row(artifact: PolicyArtifact, worker: WorkerRow, fitted: FittedRow) -> PolicyArtifact:
    """The artifact with one more worker row, behind the others and before role rows. Raises ArtifactRefusedError."""
    if any(row.name == worker.name for row in artifact.workers):
        raise ArtifactRefusedError(
            f"The artifact has a row for worker {worker.name!r} already; take it out first (select-workers).", field="worker"
        )
    count = len(artifact.workers)
    head = np.concatenate([artifact.head[:count], fitted.row[None], artifact.head[count:]])
    added = {**artifact.training.get("added", {}), worker.name: dict(fitted.provenance)}
    return replace(
        artifact, head=head, workers=(*artifact.workers, worker), told_agents=artifact.num_agents,
        training={**artifact.training, "added": added},
    )  # fmt: skip


def with_rows(artifact: PolicyArtifact, names: Sequence[str]) -> PolicyArtifact:
    """The artifact with only these worker rows, in this order. Raises ArtifactRefusedError for an unknown or doubled name."""
    known = [row.name for row in artifact.workers]
    for name in names:
        if name not in known:
            raise ArtifactRefusedError(
                f"The artifact has no row for worker {name!r}; it has: {', '.join(known)}.", field="workers"
            )
    if not names or len(set(names)) != len(names):
        raise ArtifactRefusedError("The list of workers is empty or names one twice.", field="workers")
    rows = [known.index(name) for name in names]
    roles = list(range(len(known), artifact.head.shape[0]))
    added = {name: value for name, value in artifact.training.get("added", {}).items() if name in names}
    training = {name: value for name, value in artifact.training.items() if name != "added"}
    return replace(
        artifact, head=np.ascontiguousarray(artifact.head[[*rows, *roles]]), workers=tuple(artifact.workers[i] for i in rows),
        told_agents=artifact.num_agents, training={**training, **({"added": added} if added else {})},
    )  # fmt: skip
