"""Fits heads on coordinates: KL to targets or expected reward by mini-batches, or least squares, many settings at a time.

All settings of one fit share the data and the batches and differ in target, penalty and stopping point only, so one pass over
the data trains all of them: weights are (S, L, k) for S settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Setting:
    """One point of the grid."""

    tau: float
    """Temperature of the targets."""
    penalty: float
    """Weight of half the squared weights, the constant's excepted."""


@dataclass(frozen=True, slots=True)
class Sharpness:
    """One point of the grid of `fit_reward`."""

    spread: float
    """Root mean square of the start's centred logits: how sure the policy is when the search begins."""
    penalty: float
    """Weight of half the squared distance from the start, the constant's excepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long and how fast."""

    epochs: int = 40
    batch_rows: int = 128
    learning_rate: float = 3e-3
    """Of Adam, with cosine decay to a tenth."""
    patience: int = 6
    """Epochs without a better validation figure after which a setting stops."""
    least_steps: int = 0
    """Steps of the optimiser that a fit may take in any case: a small table's epochs are few steps."""

    def for_rows(self, rows: int) -> Schedule:
        """The same for a table of so many rows: smaller batches and more epochs where it is small; patience in proportion."""
        batch = max(1, min(self.batch_rows, -(-rows // 8)))
        epochs = max(self.epochs, -(-self.least_steps // -(-rows // batch)))
        return replace(self, batch_rows=batch, epochs=epochs, patience=-(-self.patience * epochs // self.epochs))


@dataclass(frozen=True, slots=True)
class Fitted:
    """Weights of every setting at its best epoch."""

    weights: FloatArray
    """(S, L, k)."""
    validation: FloatArray
    """(S,): expected reward on the validation rows under the policy, at that epoch."""
    epochs: tuple[int, ...]
    """Best epoch of each setting, from 1."""
    curves: FloatArray
    """(epochs run, S): validation figure after each epoch."""


def fit_kl(
    train: tuple[FloatArray, FloatArray],
    valid: tuple[FloatArray, FloatArray],
    targets: Sequence[FloatArray],
    settings: Sequence[Setting],
    *,
    schedule: Schedule,
    rng: np.random.Generator,
    start: FloatArray | None = None,
) -> Fitted:
    """Minimise KL(p || pi) + penalty for every setting, stopping each where the validation rows' expected reward is best.

    `train` and `valid` are (coordinates (n, k), rewards (n, L)); `targets` holds (n, L) for each setting. `start`: weights
    (S, L, k) to begin with; None: zero.
    """
    return _until_best(_Training(train[0], targets, settings, schedule, start), valid, schedule=schedule, rng=rng)


def fit_reward(
    train: tuple[FloatArray, FloatArray],
    valid: tuple[FloatArray, FloatArray],
    start: FloatArray,
    settings: Sequence[Sharpness],
    *,
    schedule: Schedule,
    rng: np.random.Generator,
) -> Fitted:
    """Maximise the expected reward of the softmax policy itself, from `start` (L, k) scaled to each setting's spread.

    KL and least squares spend their capacity on all questions alike; here a question counts by what a wrong choice costs (the
    exact policy gradient with full information; Swaminathan & Joachims 2015 minimise the same risk). Otherwise as `fit_kl`.
    """
    logits = train[0] @ start.T
    spread = float(np.sqrt(np.mean((logits - logits.mean(axis=1, keepdims=True)) ** 2))) or 1.0
    starts = np.stack([setting.spread / spread * start for setting in settings])
    rewards = [train[1] - train[1].mean(axis=1, keepdims=True)] * len(settings)
    return _until_best(_RewardTraining(train[0], rewards, settings, schedule, starts), valid, schedule=schedule, rng=rng)


def _until_best(
    state: _Training, valid: tuple[FloatArray, FloatArray], *, schedule: Schedule, rng: np.random.Generator
) -> Fitted:
    """Train until no setting's expected reward on the validation rows gets better; each setting's best epoch is kept."""
    z_valid = torch.from_numpy(valid[0]).float()
    reward_valid = torch.from_numpy(valid[1]).float()
    best = torch.full((len(state.weights),), -torch.inf)
    weights, epoch_of = state.weights.detach().clone(), [0] * len(state.weights)
    curves = []
    for epoch in range(1, schedule.epochs + 1):
        state.epoch(rng.permutation(state.rows))
        with torch.no_grad():
            figure = expected_reward(state.weights, z_valid, reward_valid)
        curves.append(figure.numpy())
        for s in torch.nonzero(figure > best + 1e-6).flatten().tolist():
            best[s], epoch_of[s] = figure[s], epoch
            weights[s] = state.weights.detach()[s]
        if epoch - max(epoch_of) >= schedule.patience:
            break
    return Fitted(weights.double().numpy(), best.double().numpy(), tuple(epoch_of), np.array(curves, dtype=np.float64))


def expected_reward(weights: Tensor, z: Tensor, reward: Tensor) -> Tensor:
    """(S,): mean over rows of sum_w pi(w) r(w)."""
    policy = torch.softmax(torch.einsum("nk,slk->snl", z, weights), dim=-1)
    return (policy * reward).sum(dim=-1).mean(dim=-1)


class _Training:
    """Weights, optimiser and batches of one fit."""

    def __init__(
        self,
        z: FloatArray,
        targets: Sequence[FloatArray],
        settings: Sequence[Setting] | Sequence[Sharpness],
        schedule: Schedule,
        start: FloatArray | None = None,
    ) -> None:
        self._z = torch.from_numpy(z).float()
        self._targets = torch.from_numpy(np.stack(targets)).float()
        self._penalty = torch.tensor([setting.penalty for setting in settings])[:, None, None]
        shape = (len(settings), self._targets.shape[2], self._z.shape[1])
        first = torch.zeros(shape) if start is None else torch.from_numpy(start).float().reshape(shape).clone()
        self.first = first.clone()
        self.weights = first.requires_grad_()
        self._schedule = schedule
        self._steps = 0
        self._total = schedule.epochs * -(-len(z) // schedule.batch_rows)
        self._optimizer = torch.optim.Adam([self.weights], lr=schedule.learning_rate)

    @property
    def rows(self) -> int:
        """Rows that are fitted on."""
        return len(self._z)

    def epoch(self, order: NDArray[np.int64]) -> None:
        rows = self._schedule.batch_rows
        for begin in range(0, len(order), rows):
            self._step(torch.from_numpy(order[begin : begin + rows]))

    def _step(self, rows: Tensor) -> None:
        decay = 0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * self._steps / self._total))
        for group in self._optimizer.param_groups:
            group["lr"] = self._schedule.learning_rate * decay
        loss = self._loss(torch.einsum("nk,slk->snl", self._z[rows], self.weights), self._targets[:, rows])
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's
        self._optimizer.step()
        self._steps += 1

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Of a batch, over all settings; `logits` and `targets` (S, n, L)."""
        loss = -(targets * torch.log_softmax(logits, dim=-1)).sum(dim=-1).mean(dim=-1)
        return loss.sum() + 0.5 * (self._penalty * self.weights[..., :-1] ** 2).sum()


class _RewardTraining(_Training):
    """Expected reward of the softmax; `targets` are rewards, and the penalty is on the way from the start."""

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        expected = (torch.softmax(logits, dim=-1) * targets).sum(dim=-1).mean(dim=-1)
        moved = (self.weights - self.first)[..., :-1]
        return 0.5 * (self._penalty * moved**2).sum() - expected.sum()


def fit_ridge(z: FloatArray, targets: Sequence[FloatArray], penalties: Sequence[float]) -> list[FloatArray]:
    """Least squares in closed form: for each of the targets (n, L) an array (P, L, k) for P penalties.

    Minimises mean squared error + penalty * |weights|^2; targets are centred over workers. The last coordinate (the constant)
    is not penalised: it is projected out of the others and fitted to what they leave (Frisch-Waugh-Lovell), so that one
    decomposition serves all targets and penalties.
    """
    n = len(z)
    c, rest = z[:, -1], z[:, :-1]
    square = float(c @ c)
    along = (c @ rest) / square
    clear = rest - np.outer(c, along)
    values, axes = np.linalg.eigh(clear.T @ clear / n)
    values = np.maximum(values, 0.0) + 1e-9 * float(values.max())
    found = []
    for target in targets:
        centred = target - target.mean(axis=1, keepdims=True)
        mean = (c @ centred) / square
        right = axes.T @ (clear.T @ (centred - np.outer(c, mean)) / n)
        weights = np.stack([(axes @ (right / (values + penalty)[:, None])).T for penalty in penalties])
        found.append(np.concatenate([weights, (mean - weights @ along)[..., None]], axis=2))
    return found
