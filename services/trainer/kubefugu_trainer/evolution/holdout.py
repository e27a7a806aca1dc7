"""The mean vector on held-out questions, against where the search started and against the best single worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubefugu_trainer.evolution.choice import Draw, choose
from kubefugu_trainer.evolution.fitness import Logits
from kubefugu_trainer.evolution.vector import Vector
from kubefugu_trainer.outcomes.table import OutcomeTable

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
_CHUNK = 64


def held_out(table: OutcomeTable) -> tuple[str, IntArray]:
    """Name and rows of the split that results are reported on: test, else valid, else train (which is not held out)."""
    for split in ("test", "valid"):
        rows = table.rows(split)
        if len(rows):
            return split, rows
    return "train", table.rows("train")


def training(table: OutcomeTable) -> IntArray:
    """Rows that are searched on: train, and valid where results are reported on test."""
    split, _ = held_out(table)
    names = ("train", "valid") if split == "test" else ("train",)
    return np.sort(np.concatenate([table.rows(name) for name in names]))


def best_single(table: OutcomeTable) -> int:
    """The worker with the best mean score on the training rows."""
    return int(table.scores[training(table)].mean(axis=0).argmax())


class TableJudge:
    """Served choices (argmax over all workers) of a vector against the start's. See subject.Judge."""

    def __init__(
        self, table: OutcomeTable, *, start: Vector, logits: Callable[[], Logits], seed: int, confidence: float = 0.95
    ) -> None:
        self._table = table
        self._start = start
        self._logits = logits
        self._seed = seed
        self._confidence = confidence

    def __call__(self, x: Vector, check_stop: Callable[[], None]) -> dict[str, Any]:
        """See Judge."""
        split, rows = held_out(self._table)
        logits = self._logits()
        found, start = (self._choices(logits, vector, rows, check_stop) for vector in (x, self._start))
        return {"split": split, **compare(self._table, rows, found, start, seed=self._seed, level=self._confidence)}

    def _choices(self, logits: Logits, x: Vector, rows: IntArray, check_stop: Callable[[], None]) -> IntArray:
        parts = []
        for begin in range(0, len(rows), _CHUNK):
            check_stop()
            part = rows[begin : begin + _CHUNK]
            everyone = Draw(part, np.ones((len(part), len(self._table.workers)), dtype=np.bool_), np.zeros((0, 0)))
            parts.append(choose(logits.logits(x, part), everyone))
        return np.concatenate(parts)


def compare(
    table: OutcomeTable, rows: IntArray, found: IntArray, start: IntArray, *, seed: int, level: float = 0.95
) -> dict[str, Any]:
    """Mean scores on `rows` of the choices found and of the start's, with paired intervals and tests.

    `found` and `start` are worker indices, (n,). p: exact McNemar for 0/1 scores, else the paired bootstrap.
    """
    from kubefugu_trainer.evaluation.inference import bootstrap_interval, paired_p  # scipy.stats takes a second to import

    index = np.arange(len(rows))
    scores = table.scores[rows]
    single = best_single(table)
    ours, theirs, fixed = scores[index, found], scores[index, start], scores[:, single]
    rng = np.random.default_rng([seed, *b"held out"])
    figures: dict[str, Any] = {
        "items": len(rows),
        "score": float(ours.mean()),
        "score_ci": list(bootstrap_interval(ours, rng, level=level)),
        "start_score": float(theirs.mean()),
        "gain_over_start": float((ours - theirs).mean()),
        "gain_over_start_ci": list(bootstrap_interval(ours - theirs, rng, level=level)),
        "p_vs_start": paired_p(ours, theirs, rng),
        "best_single": table.workers[single],
        "best_single_score": float(fixed.mean()),
        "gain_over_best_single": float((ours - fixed).mean()),
        "gain_over_best_single_ci": list(bootstrap_interval(ours - fixed, rng, level=level)),
        "p_vs_best_single": paired_p(ours, fixed, rng),
        "level": level,
    }
    if table.groups is not None:
        labels = [table.groups[int(row)] for row in rows]
        figures["groups"] = per_group(labels, {"start": theirs, "found": ours})
    if table.costs is not None:
        costs = table.costs[rows]
        figures |= {"cost": float(costs[index, found].mean()), "start_cost": float(costs[index, start].mean())}
    return figures


def per_group(labels: Sequence[str], scores: Mapping[str, FloatArray]) -> dict[str, dict[str, float]]:
    """Mean score by label and policy, with the number of questions."""
    found: dict[str, dict[str, float]] = {}
    for label in sorted(set(labels)):
        mask = np.array([other == label for other in labels])
        found[label] = {"items": int(mask.sum()), **{name: float(values[mask].mean()) for name, values in scores.items()}}
    return found
