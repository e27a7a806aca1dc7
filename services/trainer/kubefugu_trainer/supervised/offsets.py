"""Moves the adapted layer's singular values together with the head, by gradient (ALGORITHMS 4.1), where that helps.

States entering the adapted layer are computed once a question and kept; a step runs the rest of the pass with W' made from the
factors, differentiably in delta. It starts from the fitted head and delta = 0, so the start is what is served without offsets.
The head moves in coordinates, head = start + V M with M of `basis`, because raw features differ too much in size for Adam.
Embedding and lm_head stay as they are: what lies below the layer could not be kept otherwise.

Rows are parted in three: rows to fit on, rows that say when to stop, and rows that judge; the start has seen the first only.
Beside the start, the head is moved alone in the same way: what that gains is not the offsets' merit. They are kept only where
the KL of the judging rows is lower than both by the margin that a head needs over the best single worker, and their reward is
not lower; else the head stays as it was fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kubefugu_routing.engine import Engine
from kubefugu_routing.svf import LAYER_BLOCKS
from kubefugu_routing.svf.apply import layer_matrices
from kubefugu_routing.svf.factors import FactorBundle
from kubefugu_trainer.supervised.config import SvfConfig
from kubefugu_trainer.supervised.search import LEAST_GAIN, calibrate, standard_error

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Deltas = Mapping[str, Tensor]
_LOWEST = -0.9
"""Offsets stay above: a singular value keeps its sign, the spectrum's sum stays positive."""
_CHUNK = 32
"""Rows of a pass without gradients."""


class AdaptedLayer:
    """Features of some questions as a differentiable function of the adapted layer's offsets."""

    def __init__(self, engine: Engine, bundle: FactorBundle, states: Sequence[Tensor]) -> None:
        """`states`: those entering the bundle's layer, (tokens - 1, d) a question; `engine`: not packed."""
        self._engine, self._bundle, self._states = engine, bundle, states
        info = engine.backbone.info
        self._device, self._dtype = info.device, getattr(torch, info.dtype)
        self._weights = {name: engine.backbone.matrix(name, bundle.layer).to(self._device) for name in LAYER_BLOCKS}

    def __len__(self) -> int:
        return len(self._states)

    def zeros(self) -> dict[str, Tensor]:
        """Offsets of nothing, by block, each (r,) float32."""
        return {name: torch.zeros(self._bundle.matrices[name].s.shape[0], device=self._device) for name in LAYER_BLOCKS}

    def features(self, rows: Sequence[int], deltas: Deltas) -> Tensor:
        """(rows, d) float32."""
        made = layer_matrices(self._bundle, self._weights, deltas)
        ready = {name: matrix.to(self._dtype) for name, matrix in made.items()}
        return self._engine.features_from([self._states[row] for row in rows], self._bundle.layer, ready).cpu()

    def all_features(self, deltas: Deltas, rows: IntArray) -> Tensor:
        """As `features`, without gradients and in pieces."""
        with torch.no_grad():
            pieces = [self.features(rows[i : i + _CHUNK].tolist(), deltas) for i in range(0, len(rows), _CHUNK)]
        return torch.cat(pieces)


@dataclass(frozen=True, slots=True)
class Parts:
    """Which rows do what; disjoint."""

    fit: IntArray
    stop: IntArray
    judge: IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is fitted. Rows are those of the layer's states."""

    reward: FloatArray
    """(n, L)."""
    fit_targets: FloatArray
    """(len(parts.fit), L): of the fitted rows, perhaps smoothed over kinds."""
    targets: FloatArray
    """(n, L): softmax(reward / tau), what KL is measured against elsewhere."""
    parts: Parts
    head: NDArray[np.float32]
    """(L, d): the fitted head, the start."""
    matrix: FloatArray
    """(k, d): coordinates that the head moves in."""
    penalty: float
    """Weight of half the squared move of the head in these coordinates, the constant's excepted."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A head and offsets at the best epoch."""

    head: NDArray[np.float32]
    blocks: Mapping[str, NDArray[np.float32]]
    epoch: int
    """From 1; 0: the start was best."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the judging rows said."""

    head: NDArray[np.float32]
    """(L, d): moved and calibrated where the offsets are kept, else the start."""
    blocks: Mapping[str, NDArray[np.float32]]
    """Empty: the head stays alone."""
    figures: Mapping[str, Any]


def divergence(logits: Tensor, targets: Tensor) -> Tensor:
    """(n,): KL(p || softmax(logits)) of each row."""
    return (torch.xlogy(targets, targets) - targets * torch.log_softmax(logits, dim=-1)).sum(dim=-1)


class _Fit:
    """Adam on the head and, where `with_offsets`, on delta."""

    def __init__(self, layer: AdaptedLayer, task: Task, config: SvfConfig, *, with_offsets: bool) -> None:
        self._layer, self._task, self._config = layer, task, config
        self._with_offsets = with_offsets
        self._matrix = torch.from_numpy(task.matrix).float()
        self._start = torch.from_numpy(task.head)
        self._moves = torch.zeros(len(task.head), len(task.matrix), requires_grad=True)
        self._deltas = {name: delta.requires_grad_(with_offsets) for name, delta in layer.zeros().items()}
        self._fixed = None if with_offsets else layer.all_features(self._deltas, np.arange(len(layer)))
        self._targets = torch.from_numpy(task.targets).float()
        self._fit_targets = torch.from_numpy(task.fit_targets).float()
        moving = [self._moves, *(self._deltas.values() if with_offsets else ())]
        self._optimizer = torch.optim.Adam(moving, lr=config.learning_rate)

    def run(self, rng: np.random.Generator, advance: Callable[[], None]) -> Moved:
        """Until the rows kept for stopping get no better."""
        parts = self._task.parts
        best, kept = self._stopping(), self._snapshot(0)
        for epoch in range(1, self._config.epochs + 1):
            order = rng.permutation(len(parts.fit))
            for begin in range(0, len(order), self._config.batch_rows):
                self._step(order[begin : begin + self._config.batch_rows])
            figure = self._stopping()
            advance()
            if figure < best - 1e-6:
                best, kept = figure, self._snapshot(epoch)
            elif epoch - kept.epoch >= self._config.patience:
                break
        return kept

    def _head(self) -> Tensor:
        return self._start + self._moves @ self._matrix

    def _features(self, rows: IntArray) -> Tensor:
        if self._fixed is not None:
            return self._fixed[torch.from_numpy(rows)]
        return self._layer.features(rows.tolist(), self._deltas)

    def _step(self, picked: IntArray) -> None:
        logits = self._features(self._task.parts.fit[picked]) @ self._head().T
        loss = divergence(logits, self._fit_targets[torch.from_numpy(picked)]).mean()
        loss = loss + 0.5 * self._task.penalty * (self._moves[:, :-1] ** 2).sum()
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's
        self._optimizer.step()
        with torch.no_grad():
            for delta in self._deltas.values():
                delta.clamp_(min=_LOWEST)

    def _stopping(self) -> float:
        rows = self._task.parts.stop
        with torch.no_grad():
            features = self._features(rows) if self._fixed is not None else self._layer.all_features(self._deltas, rows)
            return float(divergence(features @ self._head().T, self._targets[torch.from_numpy(rows)]).mean())

    def _snapshot(self, epoch: int) -> Moved:
        blocks = {name: delta.detach().cpu().numpy().copy() for name, delta in self._deltas.items()}
        return Moved(self._head().detach().numpy().copy(), blocks if self._with_offsets else {}, epoch)


def fit_offsets(
    layer: AdaptedLayer, task: Task, config: SvfConfig, *, rng: np.random.Generator, advance: Callable[[], None] = lambda: None
) -> Found:
    """Move the head alone and the head with the offsets, and let the judging rows decide; see the module."""
    seed = int(rng.integers(2**32))
    ways = {"head": Moved(task.head, {}, 0)}
    for name, with_offsets in (("head moved alone", False), ("head and offsets", True)):
        ways[name] = _Fit(layer, task, config, with_offsets=with_offsets).run(np.random.default_rng(seed), advance)
    parts, moved = task.parts, ways["head and offsets"]
    aside = np.concatenate([parts.stop, parts.judge])
    logits = {name: logits_of(layer, way, aside) for name, way in ways.items()}
    judged = {name: _judge(task, values[len(parts.stop) :]) for name, values in logits.items()}
    why = _why_not(judged)
    figures: dict[str, Any] = {
        "kept": not why,
        "why_not": why,
        "rows": {"fit": len(parts.fit), "stop": len(parts.stop), "judge": len(parts.judge)},
        "epochs": {name: way.epoch for name, way in ways.items()},
        "kl": {name: float(kl.mean()) for name, (kl, _) in judged.items()},
        "reward": {name: reward for name, (_, reward) in judged.items()},
        "largest_offset": max(float(np.abs(block).max()) for block in moved.blocks.values()),
    }
    if why:
        return Found(task.head, {}, figures)
    scale = calibrate(logits["head and offsets"], task.reward[aside])
    return Found(np.ascontiguousarray((scale * moved.head).astype(np.float32)), moved.blocks, figures | {"scale": scale})


def logits_of(layer: AdaptedLayer, way: Moved | Found, rows: IntArray) -> FloatArray:
    """(rows, L) float64 of a head and offsets."""
    deltas = {name: torch.from_numpy(block) for name, block in way.blocks.items()} or layer.zeros()
    features = layer.all_features(deltas, rows).numpy()
    return features.astype(np.float64) @ way.head.T.astype(np.float64)


def _judge(task: Task, logits: FloatArray) -> tuple[FloatArray, float]:
    """KL of each judging row and the mean reward of the argmax."""
    rows = task.parts.judge
    kl = divergence(torch.from_numpy(logits), torch.from_numpy(task.targets[rows])).numpy()
    return kl, float(task.reward[rows, logits.argmax(axis=1)].mean())


def _why_not(judged: Mapping[str, tuple[FloatArray, float]]) -> str:
    """Why the offsets are not kept; empty: they are."""
    kl, reward = judged["head and offsets"]
    for name in ("head", "head moved alone"):
        gain = judged[name][0] - kl
        if not float(gain.mean()) > LEAST_GAIN * standard_error(gain):
            return f"KL is not lower than that of the {name}"
        if reward < judged[name][1]:
            return f"reward is lower than that of the {name}"
    return ""
