"""Chooses how a head is fitted, by cross-validation on training rows, and makes the head of the choice.

Everything is compared on the out-of-fold rows by the reward of the argmax. First, with least squares: how much the rewards are
replaced by their means over kinds of questions, the penalties, and how dear it is to rely on the wording; of all within a
standard error of the best, the one that is steadiest under other wording (the one-standard-error rule, Breiman et al. 1984).
Then least squares, KL on the same targets, their mean after scaling, and the expected reward itself. Then a margin by which
another worker has to lead the best single one before a question is given to it. The best of many candidates looks better than
it is, so the choice itself is cross-fitted: each fold's rows are judged by what is best on the other folds' rows. Where that
gains less than half a standard error over the best single worker, the head is that worker's.

The final head is the mean of the folds' heads: logits are linear, so the mean is the ensemble of all folds at one head's price.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from kubefugu_trainer.supervised.config import RIDGE_PENALTIES, SHARES, SHARPNESS, SupervisedConfig
from kubefugu_trainer.supervised.folds import GradientFold, LeastSquares, Mix, Problem

FloatArray = NDArray[np.float64]
KL, RIDGE, BLEND, REWARD, SINGLE = "kl", "ridge", "blend", "reward", "best single"
MARGINS = (0.0, 0.1, 0.25, 0.5, 1.0)
"""Leads that are tried, in units of the logits' spread."""
LEAST_GAIN = 0.5
"""Standard errors that a router has to gain out of fold over the best single worker."""
_TOLERANCE = 1.0
"""Standard errors of reward that steadiness under other wordings may cost."""
_WINDOW = 2
Rows = tuple[dict[str, float | str], ...]
_F = TypeVar("_F", LeastSquares, GradientFold)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What cross-validation chose."""

    kind: str
    """kl, ridge, blend, reward or best single."""
    mix: Mix
    setting: int
    """KL setting."""
    sharpness: int
    """Setting of the expected reward."""
    margin: float
    """Lead that a worker needs over the best single one, in logits."""
    best: int
    """The best single worker."""
    reward: float
    """Out-of-fold mean reward of the argmax."""
    single_reward: float
    """Out-of-fold mean reward of the best single worker."""
    same_route: float | None
    """Share of disturbed questions that keep their worker, out of fold; None where nothing was disturbed."""
    table: Rows
    """Every candidate with its out-of-fold reward."""
    scale: float
    """Factor that calibrates the final logits on the out-of-fold rows."""


def choose_mix(problem: Problem, by_strength: Mapping[float, Sequence[LeastSquares]]) -> tuple[Mix, Rows, list[FloatArray]]:
    """Targets, penalties and metric, by least squares: the steadiest whose reward is within a standard error of the best.

    Also the candidates as rows of a table, and the rewards (n,) of all that were tried.
    """
    tried = [candidate for strength, folds in by_strength.items() for candidate in _mixes(problem, strength, folds)]
    rewards = np.array([got.mean() for _, got in tried])
    best = int(np.argmax(rewards))
    rows = [_row(problem, mix, float(reward)) for (mix, _), reward in zip(tried, rewards, strict=True)]
    chosen = best
    if len(problem.shifted_rows):
        chosen = max(_as_good(tried, best), key=lambda i: (_steady(problem, by_strength, tried[i][0]), rewards[i]))
        for i, kind in ((best, "best reward"), (chosen, "steadiest")):
            rows.append(_row(problem, tried[i][0], float(rewards[i])) | {
                "kind": kind, "same_route": _steady(problem, by_strength, tried[i][0]),
            })  # fmt: skip
    return tried[chosen][0], tuple(rows), [got for _, got in tried]


def _as_good(tried: Sequence[tuple[Mix, FloatArray]], best: int) -> list[int]:
    """Candidates whose reward falls short of the best one's by a standard error of the difference at most."""
    lost = [tried[best][1] - got for _, got in tried]
    return [i for i, difference in enumerate(lost) if difference.mean() <= _TOLERANCE * standard_error(difference)]


def _steady(problem: Problem, by_strength: Mapping[float, Sequence[LeastSquares]], mix: Mix) -> float:
    return same_route(problem, by_strength[mix.strength], mix.head) or 0.0


def _row(problem: Problem, mix: Mix, reward: float) -> dict[str, float | str]:
    row: dict[str, float | str] = {
        "kind": "mix" if mix.share else RIDGE, "strength": mix.strength, "share": mix.share,
        "penalty": RIDGE_PENALTIES[mix.penalty], "reward": reward,
    }  # fmt: skip
    if mix.share:
        row |= {"smoother": problem.smoothers[mix.smoother], "smooth_penalty": RIDGE_PENALTIES[mix.smooth_penalty]}
    return row


def _mixes(problem: Problem, strength: float, folds: Sequence[LeastSquares]) -> list[tuple[Mix, FloatArray]]:
    """What is tried at a strength, with its rewards: every penalty alone, then shares with penalties around the best ones."""
    parts = [_path(problem, folds, part) for part in range(1 + len(problem.smoothers))]
    tried = [(Mix(strength, 0, 0.0, i, 0), _got(problem.reward, logits)) for i, logits in enumerate(parts[0])]
    own = int(np.argmax([got.mean() for _, got in tried]))
    for smoother, part in enumerate(parts[1:]):
        means = int(np.argmax([_argmax_reward(problem.reward, logits) for logits in part]))
        tried += [
            (Mix(strength, smoother, share, i, j), _got(problem.reward, (1 - share) * parts[0][i] + share * part[j]))
            for share in SHARES
            for i in _around(own)
            for j in _around(means)
        ]
    return tried


def _around(index: int) -> range:
    return range(max(0, index - _WINDOW), min(len(RIDGE_PENALTIES), index + _WINDOW + 1))


def _path(problem: Problem, folds: Sequence[LeastSquares], part: int) -> FloatArray:
    """(penalties, n, L) out-of-fold logits of one target."""
    out = np.empty((len(RIDGE_PENALTIES), *problem.reward.shape))
    for fold in folds:
        x = problem.features[fold.valid]
        out[:, fold.valid] = np.einsum("nd,pld->pnl", x, fold.heads[part], optimize=True)
    return out


def mix_reward(problem: Problem, folds: Sequence[LeastSquares], mix: Mix) -> float:
    """Out-of-fold mean reward of the argmax of least squares on the chosen targets."""
    return _argmax_reward(problem.reward, out_of_fold(problem, folds, mix.head))


def choose(
    problem: Problem,
    mix: Mix,
    squares: Sequence[LeastSquares],
    kl: Sequence[GradientFold],
    direct: Sequence[GradientFold],
    config: SupervisedConfig,
    *,
    table: Rows = (),
    tried: Sequence[FloatArray] = (),
) -> Choice:
    """Compare the kinds of head on the out-of-fold rows, then the margins, then the whole with the best single worker.

    `table` and `tried`: what `choose_mix` gave.
    """
    reward = problem.reward
    ridge = _unit(out_of_fold(problem, squares, mix.head))
    settings, sharp = _by_setting(problem, kl), _by_setting(problem, direct)
    kl_reward, sharp_reward = ([_argmax_reward(reward, logits) for logits in found] for found in (settings, sharp))
    setting, sharpness = int(np.argmax(kl_reward)), int(np.argmax(sharp_reward))
    kinds = {
        RIDGE: ridge, KL: _unit(settings[setting]), BLEND: _unit(settings[setting]) + ridge, REWARD: _unit(sharp[sharpness]),
    }  # fmt: skip
    kind = max(kinds, key=lambda name: _argmax_reward(reward, kinds[name]))
    logits, best = kinds[kind] / _spread(kinds[kind]), int(np.argmax(reward.mean(axis=0)))
    with_margin = {margin: _lead(logits, best, margin) for margin in MARGINS}
    margin = max(MARGINS, key=lambda m: (_argmax_reward(reward, with_margin[m]), -m))
    logits = with_margin[margin]
    single = _single(reward, squares)
    every = [*tried, *(_got(reward, x) for x in (*settings, *sharp, *kinds.values(), *with_margin.values()))]
    crossed = _cross_fitted(np.stack(every), squares)
    gain = crossed - single
    rows: list[dict[str, float | str]] = [
        {"kind": KL, "tau": s.tau, "penalty": s.penalty, "reward": kl_reward[i]} for i, s in enumerate(config.settings)
    ]
    rows += [
        {"kind": REWARD, "spread": s.spread, "penalty": s.penalty, "reward": sharp_reward[i]} for i, s in enumerate(SHARPNESS)
    ]
    rows += [{"kind": name, "reward": _argmax_reward(reward, kinds[name])} for name in (RIDGE, BLEND)]
    rows += [{"kind": "margin", "margin": m, "reward": _argmax_reward(reward, value)} for m, value in with_margin.items()]
    rows.append({"kind": "cross-fitted choice", "reward": float(crossed.mean())})
    rows.append({"kind": SINGLE, "reward": float(single.mean())})
    if float(gain.mean()) <= LEAST_GAIN * standard_error(gain):
        kind, margin, logits = SINGLE, 0.0, np.tile(reward.mean(axis=0), (len(reward), 1))
    return Choice(
        kind=kind, mix=mix, setting=setting, sharpness=sharpness, margin=margin, best=best,
        reward=float(single.mean()) if kind == SINGLE else _argmax_reward(reward, logits), single_reward=float(single.mean()),
        same_route=1.0 if kind == SINGLE else same_route(problem, squares, mix.head), table=(*table, *rows),
        scale=calibrate(logits, reward),
    )  # fmt: skip


def _by_setting(problem: Problem, folds: Sequence[GradientFold]) -> list[FloatArray]:
    """(n, L) out-of-fold logits of each setting."""

    def heads(setting: int) -> Callable[[GradientFold], NDArray[np.float32]]:
        return lambda fold: fold.heads[setting]

    return [out_of_fold(problem, folds, heads(setting)) for setting in range(len(folds[0].heads))]


def final_head(
    problem: Problem,
    squares: Sequence[LeastSquares],
    kl: Sequence[GradientFold],
    direct: Sequence[GradientFold],
    choice: Choice,
) -> NDArray[np.float32]:
    """Mean of the folds' heads of the chosen kind, with its margin, scaled; (L, d) float32."""
    constant = np.mean([fold.constant for fold in squares], axis=0)
    if choice.kind == SINGLE:
        mean = problem.reward.mean(axis=0)
        return np.ascontiguousarray((choice.scale * np.outer(mean, constant)).astype(np.float32))
    x = problem.features.astype(np.float64)

    def mean_head(heads: Sequence[NDArray[np.float32]]) -> FloatArray:
        head: FloatArray = np.mean(np.stack(heads).astype(np.float64), axis=0)
        return head / _spread(x @ head.T)

    ridge = mean_head([choice.mix.head(fold) for fold in squares])
    if choice.kind == REWARD:
        head = mean_head([fold.heads[choice.sharpness] for fold in direct])
    elif choice.kind == RIDGE:
        head = ridge
    else:
        soft = mean_head([fold.heads[choice.setting] for fold in kl])
        head = soft if choice.kind == KL else soft + ridge
    head = head / _spread(x @ head.T)
    head[choice.best] += choice.margin * constant
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


def out_of_fold(problem: Problem, folds: Sequence[_F], head: Callable[[_F], NDArray[np.float32]]) -> FloatArray:
    """(n, L) logits of each row by the fold that did not see it."""
    out = np.empty(problem.reward.shape)
    for fold in folds:
        out[fold.valid] = problem.features[fold.valid] @ head(fold).T
    return out


def same_route(
    problem: Problem, folds: Sequence[LeastSquares], head: Callable[[LeastSquares], NDArray[np.float32]]
) -> float | None:
    """Share of disturbed rows that keep their worker, each by the fold that did not see it."""
    if not len(problem.shifted_rows):
        return None
    same = np.zeros(len(problem.shifted_rows), dtype=bool)
    for fold in folds:
        mine = np.isin(problem.shifted_rows, fold.valid)
        before = problem.features[problem.shifted_rows[mine]]
        weights = head(fold).T
        same[mine] = (before @ weights).argmax(axis=1) == ((before + problem.shifts[mine]) @ weights).argmax(axis=1)
    return float(same.mean())


def _single(reward: FloatArray, folds: Sequence[LeastSquares]) -> FloatArray:
    """(n,): reward of the worker that is best on the rows outside each row's fold."""
    got = np.empty(len(reward))
    for fold in folds:
        outside = np.setdiff1d(np.arange(len(reward)), fold.valid)
        got[fold.valid] = reward[fold.valid, int(np.argmax(reward[outside].mean(axis=0)))]
    return got


def _cross_fitted(got: FloatArray, folds: Sequence[LeastSquares]) -> FloatArray:
    """(n,): rewards of candidates `got` (candidates, n) when each fold's is the best one on the rows outside the fold."""
    out = np.empty(got.shape[1])
    for fold in folds:
        outside = np.setdiff1d(np.arange(got.shape[1]), fold.valid)
        out[fold.valid] = got[int(np.argmax(got[:, outside].mean(axis=1))), fold.valid]
    return out


def _lead(logits: FloatArray, best: int, margin: float) -> FloatArray:
    moved = logits.copy()
    moved[:, best] += margin
    return moved


def _got(reward: FloatArray, logits: FloatArray) -> FloatArray:
    return np.asarray(reward[np.arange(len(reward)), logits.argmax(axis=1)], dtype=np.float64)


def _argmax_reward(reward: FloatArray, logits: FloatArray) -> float:
    return float(_got(reward, logits).mean())


def standard_error(difference: FloatArray) -> float:
    """Of the mean of differences (n,)."""
    return float(difference.std() / np.sqrt(len(difference)))


def _spread(logits: FloatArray) -> float:
    """Root mean square of logits centred over workers: the scale that kinds are compared on."""
    return float(np.sqrt(np.mean((logits - logits.mean(axis=1, keepdims=True)) ** 2))) or 1.0


def _unit(logits: FloatArray) -> FloatArray:
    return logits / _spread(logits)
