"""A candidate's logits at a fraction of the price, and its fitness.

Candidates differ in the head and in one layer's offsets only. What lies below that layer is computed once a question, kept
over generations and shared by all candidates; the rest is the adapted layer with W' = (W V) diag(g) V^T, whose first product
is kept too, and the layers above it. For many tokens W' is multiplied out, for few the factors are applied one after the
other. With the embedding's offsets in the vector nothing can be shared (`ExactLogits`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from kubefugu_core.errors import ArtifactRefusedError, DataError
from kubefugu_routing.svf import LAYER_BLOCKS, SvfOffsets, TieMode
from kubefugu_trainer.evolution.choice import Draw, Measured, choose, measure
from kubefugu_trainer.evolution.problem import Problem
from kubefugu_trainer.evolution.vector import Vector

if TYPE_CHECKING:
    import torch

    from kubefugu_routing.engine import Engine
    from kubefugu_routing.svf.factors import FactorBundle

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
STATE_CACHE_BYTES = 4 << 30
"""Default bound of the kept hidden states: 508 kB a question of 128 tokens at Qwen3-0.6B's shape."""
_STEP_TOKENS = 1024
"""Tokens that pass through a layer together: enough for the matrix products, few enough for the processor's caches."""
_GROUP = 8
"""Neighbouring questions whose states are computed together."""


class Logits(Protocol):
    """Worker logits of a candidate on some questions."""

    def logits(self, x: Vector, rows: IntArray) -> FloatArray:
        """(B, L) float64 for the vector x on rows of the problem."""
        ...


class HeadLogits:
    """The head moves alone: features are fixed."""

    def __init__(self, problem: Problem) -> None:
        if problem.features is None:
            raise DataError("A search over the head needs features.")
        self._layout = problem.layout
        self._features = problem.features

    def logits(self, x: Vector, rows: IntArray) -> FloatArray:
        """See Logits."""
        _, head = self._layout.split(x)
        return _apply(self._features[rows], head)


class LayerLogits:
    """Head and the adapted layer's offsets move: states entering the layer are kept."""

    def __init__(self, problem: Problem, engine: Engine, bundle: FactorBundle, *, cache_bytes: int = STATE_CACHE_BYTES) -> None:
        import torch

        if problem.tokens is None:
            raise DataError("A search over offsets needs token ids.")
        self._layout, self._layer, self._tokens = problem.layout, problem.layer, problem.tokens
        self._engine = engine
        self._bundle = bundle
        self._states = _StateCache(self._entering, cache_bytes)
        self._groups = _groups([len(ids) for ids in problem.tokens], 4 * engine.backbone.info.hidden_size, cache_bytes)
        device = engine.backbone.info.device
        with torch.inference_mode():
            self._matrices = {name: engine.backbone.matrix(name, self._layer).to(device) for name in LAYER_BLOCKS}
            self._products = {
                name: self._matrices[name] @ bundle.matrices[name].v.to(device)
                for name in LAYER_BLOCKS
                if name in problem.layout.blocks
            }
            self._vt = {name: bundle.matrices[name].v.to(device).T.contiguous() for name in self._products}

    def logits(self, x: Vector, rows: IntArray) -> FloatArray:
        """See Logits."""
        import torch

        blocks, head = self._layout.split(x)
        with torch.inference_mode():
            states = [self._states.get(int(row)) for row in rows]
            lengths = [state.shape[0] for state in states]
            matrices, factored = self._adapted(blocks, tokens=sum(lengths))
            features = torch.cat(
                [
                    self._engine.features_from(states[begin:end], self._layer, matrices, factored=factored)
                    for begin, end in _steps(lengths)
                ]
            )
        return _apply(features.cpu().numpy(), head)

    def _entering(self, row: int) -> dict[int, torch.Tensor]:
        """States of the row's whole group: its bits must not depend on which other questions were missing."""
        group = self._groups[row]
        states = self._engine.entering_states([self._tokens[i].tolist() for i in group], self._layer)
        return dict(zip(group, states, strict=True))

    def _adapted(
        self, blocks: dict[str, NDArray[np.float32]], *, tokens: int
    ) -> tuple[dict[str, torch.Tensor], dict[str, tuple[torch.Tensor, torch.Tensor]]]:
        """Each moved matrix as W' or as its factors (V^T, W V diag(g)), whichever costs less for this many tokens."""
        import torch

        from kubefugu_routing.svf.apply import gains

        whole, factored = {}, {}
        for name, product in self._products.items():
            gain = gains(self._bundle.matrices[name].s, torch.from_numpy(blocks[name]))
            rows, rank = product.shape
            columns = self._matrices[name].shape[1]
            more_per_token = rank * (columns + rows) - rows * columns
            if tokens * more_per_token < rows * rank * columns:
                factored[name] = (self._vt[name], product * gain.to(product.device, product.dtype))
            else:
                scaled = product * (gain - 1).to(product.device, product.dtype)
                whole[name] = torch.addmm(self._matrices[name], scaled, self._vt[name])
        return whole, factored

    @property
    def cached_rows(self) -> int:
        """Questions whose states are kept."""
        return len(self._states)


class ExactLogits:
    """Every offset may move, the embedding's too: the whole backbone is run for each candidate."""

    def __init__(self, problem: Problem, engine: Engine, bundle: FactorBundle) -> None:
        if problem.tokens is None:
            raise DataError("A search over offsets needs token ids.")
        self._problem = problem
        self._engine = engine
        self._bundle = bundle
        self._tokens = problem.tokens

    def logits(self, x: Vector, rows: IntArray) -> FloatArray:
        """See Logits."""
        blocks, head = self._problem.layout.split(x)
        offsets = SvfOffsets(layer=self._problem.layer, tie_mode=TieMode(self._problem.tie_mode), blocks=blocks)
        variant = self._engine.variant(offsets, self._bundle)
        features = self._engine.features_of([self._tokens[int(row)].tolist() for row in rows], variant)
        self._engine.forget(variant)
        return _apply(features, head)


class Fitness:
    """Measures candidates of one problem."""

    def __init__(self, problem: Problem, logits: Logits) -> None:
        self._problem = problem
        self.logits = logits

    def measure(self, x: Vector, draw: Draw) -> Measured:
        """The candidate's figures on the draw. Raises DataError for rows that the problem lacks."""
        problem = self._problem
        if draw.rows.size == 0 or int(draw.rows.max()) >= len(problem.scores) or int(draw.rows.min()) < 0:
            raise DataError(f"The draw names rows outside the problem's {len(problem.scores)}.")
        picked = choose(self.logits.logits(x, draw.rows), draw)
        costs = None if problem.costs is None else problem.costs[draw.rows]
        return measure(
            picked,
            problem.scores[draw.rows],
            costs,
            entropy_weight=problem.entropy_weight,
            cost_weight=problem.cost_weight,
        )

    def close(self) -> None:
        """See evaluators.Measures."""


def make_fitness(problem: Problem, engine: Callable[[], Engine] | None = None, *, device: str = "cpu") -> Fitness:
    """Fitness of a problem. `engine`: one that is there already; else the problem's backbone is loaded where it is needed.

    Raises ArtifactRefusedError where the backbone found here is not the problem's.
    """
    if problem.features is not None:
        return Fitness(problem, HeadLogits(problem))
    made = engine() if engine else _load_engine(problem, device)
    bundle = _bundle(problem.bundle)
    embedding = any(name not in LAYER_BLOCKS for name in problem.layout.blocks)
    return Fitness(problem, ExactLogits(problem, made, bundle) if embedding else LayerLogits(problem, made, bundle))


def _load_engine(problem: Problem, device: str) -> Engine:
    from kubefugu_routing.backbone import load_backbone
    from kubefugu_routing.engine import Engine

    backbone = load_backbone(problem.backbone, device=device, threads=problem.threads or None)
    if backbone.info.revision != problem.backbone_revision:
        raise ArtifactRefusedError(
            f"The backbone {problem.backbone} is at revision {backbone.info.revision} here, the run needs "
            f"{problem.backbone_revision}.",
            field="backbone",
        )
    return Engine(backbone)


def _bundle(raw: bytes) -> FactorBundle:
    import tempfile
    from pathlib import Path

    from kubefugu_routing.svf.factors import load_bundle

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "factors.safetensors"
        path.write_bytes(raw)
        return load_bundle(path)


def _apply(features: NDArray[np.float32], head: NDArray[np.float32]) -> FloatArray:
    from kubefugu_routing.engine.engine import head_logits

    return head_logits(features, head).astype(np.float64)


def _groups(lengths: Sequence[int], token_bytes: int, cache_bytes: int) -> list[range]:
    """For each question those that are computed with it, the same in every process: its neighbours, at most _STEP_TOKENS.

    Together they cost about half of what they cost alone. Where not all questions fit into the cache, each is alone: neighbours
    would be thrown away before anybody asked for them.
    """
    if sum(lengths) * token_bytes > cache_bytes:
        return [range(row, row + 1) for row in range(len(lengths))]
    groups: list[range] = []
    for begin, end in _steps(lengths, most=_GROUP):
        groups += [range(begin, end)] * (end - begin)
    return groups


def _steps(lengths: Sequence[int], *, most: int | None = None) -> list[tuple[int, int]]:
    """Runs [begin, end) of neighbours of at most _STEP_TOKENS tokens, and of at most `most` members; a longer one is alone."""
    runs, begin, tokens = [], 0, 0
    for i, length in enumerate(lengths):
        if i > begin and (tokens + length > _STEP_TOKENS or i - begin == most):
            runs.append((begin, i))
            begin, tokens = i, 0
        tokens += length
    return [*runs, (begin, len(lengths))] if lengths else runs


class _StateCache:
    """Tensors by row, least recently used ones dropped first."""

    def __init__(self, compute: Callable[[int], dict[int, torch.Tensor]], limit_bytes: int) -> None:
        """`compute` gives the tensor of a row, and perhaps those of other rows that came with it."""
        self._compute = compute
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._kept: OrderedDict[int, torch.Tensor] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, row: int) -> torch.Tensor:
        if row in self._kept:
            self._kept.move_to_end(row)
            return self._kept[row]
        found = self._compute(row)
        for other, state in found.items():
            if other not in self._kept:
                self._bytes += state.nbytes
            self._kept[other] = state
        self._kept.move_to_end(row)
        while self._bytes > self._limit_bytes and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= dropped.nbytes
        return found[row]
