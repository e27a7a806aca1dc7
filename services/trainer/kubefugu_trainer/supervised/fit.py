"""Fits heads on coordinates: KL to targets by mini-batches, or least squares on rewards, many settings at the same time.

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
    state = _Training(train[0], targets, settings, schedule, start)
    z_valid = torch.from_numpy(valid[0]).float()
    reward_valid = torch.from_numpy(valid[1]).float()
    best = torch.full((len(settings),), -torch.inf)
    weights, epoch_of = state.weights.detach().clone(), [0] * len(settings)
    curves = []
    for epoch in range(1, schedule.epochs + 1):
        state.epoch(rng.permutation(len(train[0])))
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
        settings: Sequence[Setting],
        schedule: Schedule,
        start: FloatArray | None = None,
    ) -> None:
        self._z = torch.from_numpy(z).float()
        self._targets = torch.from_numpy(np.stack(targets)).float()
        self._penalty = torch.tensor([setting.penalty for setting in settings])[:, None, None]
        shape = (len(settings), self._targets.shape[2], self._z.shape[1])
        first = torch.zeros(shape) if start is None else torch.from_numpy(start).float().reshape(shape).clone()
        self.weights = first.requires_grad_()
        self._schedule = schedule
        self._steps = 0
        self._total = schedule.epochs * -(-len(z) // schedule.batch_rows)
        self._optimizer = torch.optim.Adam([self.weights], lr=schedule.learning_rate)

    def epoch(self, order: NDArray[np.int64]) -> None:
        rows = self._schedule.batch_rows
        for begin in range(0, len(order), rows):
            self._step(torch.from_numpy(order[begin : begin + rows]))

    def _step(self, rows: Tensor) -> None:
        decay = 0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * self._steps / self._total))
        for group in self._optimizer.param_groups:
            group["lr"] = self._schedule.learning_rate * decay
        logits = torch.einsum("nk,slk->snl", self._z[rows], self.weights)
        loss = -(self._targets[:, rows] * torch.log_softmax(logits, dim=-1)).sum(dim=-1).mean(dim=-1)
        penalty = 0.5 * (self._penalty * self.weights[..., :-1] ** 2).sum()
        self._optimizer.zero_grad()
        (loss.sum() + penalty).backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._steps += 1


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
