"""Chooses how a head is fitted, by cross-validation on training rows, and makes the head of the choice.

Every fold carves its validation rows from the training rows (rows with the same text stay together, labels are spread evenly
where there are any). Three kinds of head are compared on the out-of-fold rows by the reward of their argmax: KL to softened
targets, least squares on rewards, and the mean of the best two after scaling. The final head is the mean of the folds' heads:
logits are linear, so the mean is the ensemble of all folds at the price of one head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubefugu_trainer.supervised.basis import Basis, fit_basis
from kubefugu_trainer.supervised.config import RIDGE_PENALTIES, SupervisedConfig
from kubefugu_trainer.supervised.fit import fit_kl, fit_ridge
from kubefugu_trainer.supervised.targets import targets

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
_KL, _RIDGE, _BLEND = "kl", "ridge", "blend"


@dataclass(frozen=True, slots=True)
class Fold:
    """One fold's heads and its out-of-fold logits."""

    valid: IntArray
    """Validation rows, numbers into the training rows."""
    kl: FloatArray
    """(S, L, d) heads on raw features."""
    ridge: FloatArray
    """(P, L, d)."""
    epochs: tuple[int, ...]
    """Best epoch of each KL setting."""
    curves: FloatArray
    """(epochs, S) validation figures."""
    constant_error: float
    """Of the fold's basis."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What cross-validation chose."""

    kind: str
    """kl, ridge or blend."""
    setting: int
    """KL setting."""
    penalty: int
    """Ridge penalty."""
    reward: float
    """Out-of-fold mean reward of the argmax."""
    table: tuple[dict[str, float | str], ...]
    """Every candidate with its out-of-fold reward."""
    scale: float
    """Factor that calibrates the final logits on the out-of-fold rows."""


def make_folds(
    texts: Sequence[object], groups: Sequence[str] | None, *, folds: int, rng: np.random.Generator
) -> list[IntArray]:
    """Validation rows of each fold. Equal texts share a fold; labels are spread evenly."""
    first: dict[object, int] = {}
    owner = np.array([first.setdefault(text, i) for i, text in enumerate(texts)])
    unique = np.unique(owner)
    labels = ["" if groups is None else groups[i] for i in unique]
    shuffled = rng.permutation(len(unique))
    by_label = sorted(shuffled, key=lambda j: labels[j])  # stable: shuffled inside each label
    fold_of = {int(unique[j]): position % folds for position, j in enumerate(by_label)}
    assigned = np.array([fold_of[int(o)] for o in owner])
    return [np.flatnonzero(assigned == fold).astype(np.int64) for fold in range(folds)]


def fit_fold(
    features: NDArray[np.floating], reward: FloatArray, valid: IntArray, config: SupervisedConfig, *, rng: np.random.Generator
) -> Fold:
    """Fit every candidate on the rows outside `valid`."""
    train = np.setdiff1d(np.arange(len(reward)), valid)
    basis = fit_basis(features[train])
    z_train, z_valid = basis.encode(features[train]), basis.encode(features[valid])
    by_tau = {tau: targets(reward[train], tau) for tau in config.taus}
    fitted = fit_kl(
        (z_train, reward[train]),
        (z_valid, reward[valid]),
        [by_tau[setting.tau] for setting in config.settings],
        config.settings,
        schedule=config.schedule,
        rng=rng,
    )
    ridge = fit_ridge(z_train, reward[train], RIDGE_PENALTIES)
    return Fold(
        valid, _fold_all(basis, fitted.weights), _fold_all(basis, ridge), fitted.epochs, fitted.curves, basis.constant_error
    )


def _fold_all(basis: Basis, weights: FloatArray) -> FloatArray:
    return np.stack([basis.fold(w) for w in weights]).astype(np.float64)


def choose(features: NDArray[np.floating], reward: FloatArray, folds: Sequence[Fold], config: SupervisedConfig) -> Choice:
    """Compare the candidates on the out-of-fold rows."""
    kl = _out_of_fold(features, folds, lambda fold: fold.kl)
    ridge = _out_of_fold(features, folds, lambda fold: fold.ridge)
    kl_reward = [_argmax_reward(reward, logits) for logits in kl]
    ridge_reward = [_argmax_reward(reward, logits) for logits in ridge]
    k, r = int(np.argmax(kl_reward)), int(np.argmax(ridge_reward))
    blended = _unit(kl[k]) + _unit(ridge[r])
    rewards = {_KL: kl_reward[k], _RIDGE: ridge_reward[r], _BLEND: _argmax_reward(reward, blended)}
    kind = max(rewards, key=lambda name: rewards[name])
    logits = {_KL: kl[k], _RIDGE: _unit(ridge[r]), _BLEND: blended}[kind]
    rows: list[dict[str, float | str]] = [
        {"kind": _KL, "tau": s.tau, "penalty": s.penalty, "reward": kl_reward[i]} for i, s in enumerate(config.settings)
    ]
    rows += [{"kind": _RIDGE, "penalty": p, "reward": ridge_reward[i]} for i, p in enumerate(RIDGE_PENALTIES)]
    rows.append({"kind": _BLEND, "reward": rewards[_BLEND]})
    return Choice(kind, k, r, rewards[kind], tuple(rows), calibrate(logits, reward))


def final_head(features: NDArray[np.floating], folds: Sequence[Fold], choice: Choice) -> NDArray[np.float32]:
    """Mean of the folds' heads of the chosen kind, scaled; (L, d) float32."""
    kl = np.mean([fold.kl[choice.setting] for fold in folds], axis=0)
    ridge = np.mean([fold.ridge[choice.penalty] for fold in folds], axis=0)
    x = np.asarray(features, dtype=np.float64)
    head = {
        _KL: lambda: kl,
        _RIDGE: lambda: ridge / _spread(x @ ridge.T),
        _BLEND: lambda: kl / _spread(x @ kl.T) + ridge / _spread(x @ ridge.T),
    }[choice.kind]()
    return np.ascontiguousarray((choice.scale * head).astype(np.float32))


def calibrate(logits: FloatArray, reward: FloatArray) -> float:
    """Factor s that makes softmax(s * logits) the most likely policy for "which worker is best" (ties shared equally).

    Guo et al. 2017, "On Calibration of Modern Neural Networks", temperature scaling; a golden-section search on log s.
    """
    best = (reward >= reward.max(axis=1, keepdims=True) - 1e-9).astype(np.float64)
    best /= best.sum(axis=1, keepdims=True)

    def loss(log_scale: float) -> float:
        scaled = np.exp(log_scale) * logits
        top = scaled.max(axis=1, keepdims=True)
        log_policy = scaled - top - np.log(np.exp(scaled - top).sum(axis=1, keepdims=True))
        return float(-(best * log_policy).sum(axis=1).mean())

    low, high = np.log(1e-2), np.log(1e3)
    ratio = (np.sqrt(5) - 1) / 2
    a, b = high - ratio * (high - low), low + ratio * (high - low)
    fa, fb = loss(a), loss(b)
    for _ in range(60):
        if fa < fb:
            high, b, fb = b, a, fa
            a = high - ratio * (high - low)
            fa = loss(a)
        else:
            low, a, fa = a, b, fb
            b = low + ratio * (high - low)
            fb = loss(b)
    return float(np.exp((low + high) / 2))


def _out_of_fold(features: NDArray[np.floating], folds: Sequence[Fold], heads: Callable[[Fold], FloatArray]) -> FloatArray:
    """(candidates, n, L) logits of each row by the fold that did not see it."""
    x = np.asarray(features, dtype=np.float64)
    first = heads(folds[0])
    out = np.empty((first.shape[0], len(x), first.shape[1]))
    for fold in folds:
        out[:, fold.valid] = np.einsum("nd,sld->snl", x[fold.valid], heads(fold), optimize=True)
    return out


def _argmax_reward(reward: FloatArray, logits: FloatArray) -> float:
    return float(reward[np.arange(len(reward)), logits.argmax(axis=1)].mean())


def _spread(logits: FloatArray) -> float:
    """Root mean square of logits centred over workers: the scale that kinds are compared on."""
    return float(np.sqrt(np.mean((logits - logits.mean(axis=1, keepdims=True)) ** 2))) or 1.0


def _unit(logits: FloatArray) -> FloatArray:
    return logits / _spread(logits)
