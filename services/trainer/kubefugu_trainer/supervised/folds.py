"""The folds of cross-validation and what is fitted in each: least squares first, KL once the targets have been chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubefugu_trainer.supervised.basis import Basis, fit_basis
from kubefugu_trainer.supervised.config import RIDGE_PENALTIES, SHARPNESS, SupervisedConfig
from kubefugu_trainer.supervised.fit import Fitted, fit_kl, fit_reward, fit_ridge
from kubefugu_trainer.supervised.targets import clusters, kind_means, targets

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
_START_PENALTY = 4
"""Penalty (of RIDGE_PENALTIES) of the least-squares weights that KL fits begin with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Training rows: what is fitted to."""

    features: NDArray[np.float32]
    """(n, d)."""
    reward: FloatArray
    """(n, L)."""
    groups: tuple[str, ...] | None
    """Label of each row; used in training only."""
    shifted_rows: IntArray
    """(m,): training rows of which a disturbed wording was read, too; a row may stand here more than once."""
    shifts: NDArray[np.float32]
    """(m, d): features of the disturbed wording minus those of the undisturbed one."""
    seed: int

    @property
    def smoothers(self) -> tuple[str, ...]:
        """How rewards may be averaged over kinds of questions."""
        return ("clusters",) if self.groups is None else ("labels", "clusters")


@dataclass(frozen=True, slots=True)
class LeastSquares:
    """One fold's least-squares heads, on raw features."""

    valid: IntArray
    """Validation rows, numbers into the training rows."""
    heads: NDArray[np.float32]
    """(1 + smoothers, penalties, L, d): of the rewards themselves, then of their means over kinds."""
    constant: FloatArray
    """(d,): u of the fold's basis."""
    constant_error: float


@dataclass(frozen=True, slots=True)
class Mix:
    """Targets that rewards are replaced by: (1 - share) * reward + share * mean over kinds."""

    strength: float
    """How dear it is to rely on what moves with the wording; see basis."""
    smoother: int
    """Number into Problem.smoothers."""
    share: float
    penalty: int
    """Least-squares penalty of the part of the rewards."""
    smooth_penalty: int
    """Least-squares penalty of the part of the means."""

    def head(self, fold: LeastSquares) -> NDArray[np.float32]:
        """The fold's least-squares head (L, d)."""
        own, means = fold.heads[0, self.penalty], fold.heads[1 + self.smoother, self.smooth_penalty]
        return np.asarray((1 - self.share) * own + self.share * means, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class GradientFold:
    """One fold's heads that were fitted by gradient (KL, or expected reward), on raw features."""

    valid: IntArray
    heads: NDArray[np.float32]
    """(settings, L, d)."""
    epochs: tuple[int, ...]
    """Best epoch of each setting."""
    curves: FloatArray
    """(epochs, settings): expected reward of the validation rows."""


def make_folds(
    texts: Sequence[object], groups: Sequence[str] | None, *, folds: int, rng: np.random.Generator
) -> list[IntArray]:
    """Validation rows of each fold. Equal texts share a fold; labels are spread evenly. Fewer folds where texts are few."""
    first: dict[object, int] = {}
    owner = np.array([first.setdefault(text, i) for i, text in enumerate(texts)])
    unique = np.unique(owner)
    labels = ["" if groups is None else groups[i] for i in unique]
    shuffled = rng.permutation(len(unique))
    by_label = sorted(shuffled, key=lambda j: labels[j])  # stable: shuffled inside each label
    fold_of = {int(unique[j]): position % folds for position, j in enumerate(by_label)}
    assigned = np.array([fold_of[int(o)] for o in owner])
    parts = [np.flatnonzero(assigned == fold).astype(np.int64) for fold in range(folds)]
    return [part for part in parts if len(part)]


def _prepare(problem: Problem, valid: IntArray, strength: float) -> tuple[IntArray, Basis]:
    """Rows to fit on, and their basis; shifts of validation rows are not looked at."""
    train = np.setdiff1d(np.arange(len(problem.reward)), valid)
    seen = np.isin(problem.shifted_rows, train)
    return train, fit_basis(problem.features[train], shifts=problem.shifts[seen], strength=strength)


def _means(problem: Problem, train: IntArray, z: FloatArray, smoother: int) -> FloatArray:
    """Mean rewards over kinds for the fitted rows; clusters are those of the fitted rows' coordinates."""
    if problem.smoothers[smoother] == "labels" and problem.groups is not None:
        kinds: Sequence[object] = [problem.groups[i] for i in train]
    else:
        kinds = clusters(z[:, :-1], seed=problem.seed)
    return kind_means(problem.reward[train], kinds)


def mixed_reward(problem: Problem, train: IntArray, z: FloatArray, mix: Mix) -> FloatArray:
    """What the targets are made of, (rows, L), for the fitted rows `train` and their coordinates `z`."""
    own = problem.reward[train]
    return own if mix.share == 0 else (1 - mix.share) * own + mix.share * _means(problem, train, z, mix.smoother)


def fit_least_squares(problem: Problem, valid: IntArray, strength: float) -> LeastSquares:
    """Least squares on the rows outside `valid`, for every target and penalty."""
    train, basis = _prepare(problem, valid, strength)
    z = basis.encode(problem.features[train])
    wanted = [problem.reward[train], *(_means(problem, train, z, s) for s in range(len(problem.smoothers)))]
    heads = np.stack([basis.fold(weights) for weights in fit_ridge(z, wanted, RIDGE_PENALTIES)])
    return LeastSquares(valid, heads, basis.constant, basis.constant_error)


@dataclass(frozen=True, slots=True)
class _Fold:
    """What a fit by gradient gets of a fold, in the coordinates of its basis."""

    basis: Basis
    rows: IntArray
    """Validation rows."""
    train: tuple[FloatArray, FloatArray]
    """Coordinates and rewards of the fitted rows."""
    valid: tuple[FloatArray, FloatArray]
    mixed: FloatArray
    """What the fitted rows' targets are made of."""

    def least_squares(self, penalty: int) -> FloatArray:
        """(L, k) weights on the mixed rewards, where a fit begins."""
        (path,) = fit_ridge(self.train[0], [self.mixed], [RIDGE_PENALTIES[penalty]])
        weights: FloatArray = path[0]
        return weights

    def done(self, fitted: Fitted) -> GradientFold:
        """The fit on raw features."""
        return GradientFold(self.rows, self.basis.fold(fitted.weights), fitted.epochs, fitted.curves)


def _fold(problem: Problem, valid: IntArray, mix: Mix) -> _Fold:
    rows, basis = _prepare(problem, valid, mix.strength)
    train, held = ((basis.encode(problem.features[part]), problem.reward[part]) for part in (rows, valid))
    return _Fold(basis, valid, train, held, mixed_reward(problem, rows, train[0], mix))


def fit_kl_fold(
    problem: Problem, valid: IntArray, mix: Mix, config: SupervisedConfig, *, rng: np.random.Generator
) -> GradientFold:
    """Every KL setting on the mixed targets of the rows outside `valid`, starting from least squares."""
    fold = _fold(problem, valid, mix)
    start = fold.least_squares(_START_PENALTY)
    by_tau = {tau: targets(fold.mixed, tau) for tau in config.taus}
    fitted = fit_kl(
        fold.train,
        fold.valid,
        [by_tau[setting.tau] for setting in config.settings],
        config.settings,
        schedule=config.schedule.for_rows(len(fold.mixed)),
        rng=rng,
        start=np.stack([start / setting.tau for setting in config.settings]),
    )
    return fold.done(fitted)


def fit_reward_fold(
    problem: Problem, valid: IntArray, mix: Mix, config: SupervisedConfig, *, rng: np.random.Generator
) -> GradientFold:
    """Expected reward on the mixed rewards of the rows outside `valid`, every sharpness, starting from least squares."""
    fold = _fold(problem, valid, mix)
    start = fold.least_squares(mix.smooth_penalty if mix.share else mix.penalty)
    schedule = config.schedule.for_rows(len(fold.mixed))
    fitted = fit_reward((fold.train[0], fold.mixed), fold.valid, start, SHARPNESS, schedule=schedule, rng=rng)
    return fold.done(fitted)
