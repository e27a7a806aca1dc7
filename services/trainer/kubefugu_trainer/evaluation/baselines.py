"""Baselines that every router is compared with. Each learns on training rows only, hyperparameters included."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.neighbors import NearestNeighbors
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler

from kubefugu_trainer.evaluation.metrics import best_single, chosen

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
NEIGHBOURS = (5, 10, 20, 40, 80, 160)
RIDGE_ALPHAS = tuple(float(a) for a in np.logspace(0, 6, 13))
MLP_SHAPES = ((64,), (256,))
MLP_ALPHAS = (1e-2, 1.0)
Predictor = Callable[[FloatArray], FloatArray]
"""Features (n, d) to predicted scores (n, L)."""


def per_label(scores: FloatArray, groups: Sequence[str], test_groups: Sequence[str]) -> IntArray:
    """Best worker of each label on the training rows; the best single one for labels that have none. Told the label."""
    labels = np.asarray(groups, dtype=object)
    overall = best_single(scores)
    best = {label: best_single(scores[labels == label]) for label in dict.fromkeys(groups)}
    return np.array([best.get(label, overall) for label in test_groups], dtype=np.int64)


def _unit(features: FloatArray, centre: FloatArray) -> FloatArray:
    moved = features - centre
    return np.asarray(moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12), dtype=np.float64)


class Knn:
    """Mean scores of the k nearest training questions by cosine of centred, standardised features; k by leave-one-out."""

    def __init__(self, features: FloatArray, scores: FloatArray) -> None:
        self._scaler = StandardScaler().fit(features)
        scaled = self._scaler.transform(features)
        self._centre = scaled.mean(axis=0)
        self._points = _unit(scaled, self._centre)
        self._scores = scores
        self._index = NearestNeighbors(metric="euclidean").fit(self._points)
        sizes = [k for k in NEIGHBOURS if k < len(scores)]
        if not sizes:
            self.k = len(scores)
            return
        order = self._index.kneighbors(n_neighbors=min(max(sizes), len(scores) - 1), return_distance=False)
        self.k = max(sizes, key=lambda k: float(chosen(scores, scores[order[:, :k]].mean(axis=1).argmax(axis=1)).mean()))

    def __call__(self, features: FloatArray) -> FloatArray:
        """Predicted scores (n, L)."""
        points = _unit(self._scaler.transform(features), self._centre)
        order = self._index.kneighbors(points, n_neighbors=min(self.k, len(self._scores)), return_distance=False)
        return np.asarray(self._scores[order].mean(axis=1), dtype=np.float64)


def ridge(features: FloatArray, scores: FloatArray) -> Predictor:
    """Ridge regression of all workers' scores; one alpha by generalised cross-validation."""
    scaler = StandardScaler().fit(features)
    model = RidgeCV(alphas=RIDGE_ALPHAS).fit(scaler.transform(features), scores)
    return lambda x: np.asarray(model.predict(scaler.transform(x)), dtype=np.float64).reshape(len(x), -1)


def mlp(features: FloatArray, scores: FloatArray, *, seed: int) -> Predictor:
    """One hidden layer, early stopping on a tenth of the training rows; width and decay by cross-validated routing score."""
    scaler = StandardScaler().fit(features)
    scaled = scaler.transform(features)
    splits = list(KFold(n_splits=3, shuffle=True, random_state=seed).split(scaled))

    def routed(shape: tuple[int, ...], alpha: float) -> float:
        got = []
        for train, held in splits[:1]:
            predicted = _fit_mlp(scaled[train], scores[train], shape, alpha, seed).predict(scaled[held])
            got.append(chosen(scores[held], predicted.reshape(len(held), -1).argmax(axis=1)).mean())
        return float(np.mean(got))

    shape, alpha = max(((s, a) for s in MLP_SHAPES for a in MLP_ALPHAS), key=lambda pair: routed(*pair))
    model = _fit_mlp(scaled, scores, shape, alpha, seed)
    return lambda x: np.asarray(model.predict(scaler.transform(x)), dtype=np.float64).reshape(len(x), -1)


def _fit_mlp(x: FloatArray, y: FloatArray, shape: tuple[int, ...], alpha: float, seed: int) -> MLPRegressor:
    model = MLPRegressor(
        hidden_layer_sizes=shape, alpha=alpha, early_stopping=len(x) >= 50, max_iter=200, n_iter_no_change=10, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, y if y.shape[1] > 1 else y[:, 0])


def crossfit_oracle(repeats: Sequence[Sequence[Sequence[float]]]) -> FloatArray | None:
    """Score of each question (n,) when the best worker is picked on some repeats and scored on the others, averaged over folds.

    The plain oracle picks and scores on the same measurement and profits from noise; this one does not. Ties between the best
    are averaged. None where some worker was measured only once.
    """
    if any(len(cell) < 2 for row in repeats for cell in row):
        return None
    values = np.empty(len(repeats))
    for i, row in enumerate(repeats):
        folds = min(len(cell) for cell in row)
        got = []
        for fold in range(folds):
            held = np.array([cell[fold] for cell in row])
            rest = np.array([np.mean([v for j, v in enumerate(cell) if j != fold]) for cell in row])
            got.append(float(held[rest >= rest.max() - 1e-12].mean()))
        values[i] = np.mean(got)
    return values


_HALVES = 2
_CLUSTER_ROWS = 40


def crossfit_kinds(scores: FloatArray, kinds: Sequence[object], rng: np.random.Generator) -> FloatArray:
    """Score of each question (n,) when the best worker of its kind is picked on the other half of the evaluated questions.

    What remains of the oracle where each worker answered each question once: one measurement cannot both pick and score, so
    the picking is done on other questions of the same kind (the table's label, or a cluster of features).
    """
    half = rng.permutation(len(scores)) % _HALVES
    index: dict[object, int] = {}
    number = np.array([index.setdefault(kind, len(index)) for kind in kinds])
    got = np.empty(len(scores))
    for side in range(_HALVES):
        other = half != side
        fallback = best_single(scores[other]) if other.any() else 0
        for kind in range(len(index)):
            mine, rest = (number == kind) & ~other, (number == kind) & other
            got[mine] = scores[mine, best_single(scores[rest]) if rest.any() else fallback]
    return got


def feature_kinds(features: FloatArray, *, seed: int) -> list[int]:
    """Clusters of features (n, d) that stand for kinds where a table has no labels."""
    scaled = StandardScaler().fit_transform(features)
    count = int(np.clip(len(scaled) // _CLUSTER_ROWS, 1, 32))
    return [int(label) for label in MiniBatchKMeans(n_clusters=count, n_init=3, random_state=seed).fit_predict(scaled)]


__all__ = ["Knn", "Predictor", "crossfit_kinds", "crossfit_oracle", "feature_kinds", "mlp", "per_label", "ridge"]
