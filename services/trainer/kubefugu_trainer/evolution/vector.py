"""The searched vector x = [singular-value offsets | vec(head)] (ALGORITHMS 1.1), and its parts in the precision that is served.

Role rows of a head are not part of x where fitness can't depend on them (outcome tables have one turn).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubefugu_core.errors import DataError
from kubefugu_routing.svf import LAYER_BLOCKS, SvfLayout

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class VectorLayout:
    """Lengths of the parts."""

    blocks: Mapping[str, int]
    """Offset blocks that move and their lengths, in vector order; empty: the head alone."""
    rows: int
    """Rows of the head that move."""
    width: int
    """Hidden size d."""

    @property
    def num_offsets(self) -> int:
        """Offsets at the vector's front."""
        return sum(self.blocks.values())

    @property
    def total(self) -> int:
        """N."""
        return self.num_offsets + self.rows * self.width

    def split(self, x: Vector) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.float32]]:
        """Offsets by block and the head (rows, d), float32 as an artifact stores them. Raises DataError for another length."""
        if x.shape != (self.total,):
            raise DataError(f"The vector has {x.size} numbers, the search has {self.total}.")
        blocks, start = {}, 0
        for name, length in self.blocks.items():
            blocks[name] = x[start : start + length].astype(np.float32)
            start += length
        return blocks, x[start:].astype(np.float32).reshape(self.rows, self.width)

    def join(self, blocks: Mapping[str, NDArray[np.floating]], head: NDArray[np.floating]) -> Vector:
        """The vector; blocks that are absent are zero."""
        parts = [np.asarray(blocks.get(name, np.zeros(length)), dtype=np.float64) for name, length in self.blocks.items()]
        return np.concatenate([*parts, np.asarray(head, dtype=np.float64).ravel()])


def layout_for(kind: str, svf: SvfLayout, *, rows: int, width: int, tied: bool) -> VectorLayout:
    """The layout of EvolutionConfig.offsets = none, layer or all. An lm_head of its own can't affect routing: left out."""
    names: tuple[str, ...] = () if kind == "none" else LAYER_BLOCKS
    if kind == "all":
        names = tuple(name for name in svf.lengths if tied or name != "lm_head")
    return VectorLayout({name: svf.lengths[name] for name in svf.lengths if name in names}, rows, width)


def feature_scale(layout: VectorLayout, features: NDArray[np.floating], head: NDArray[np.floating]) -> Vector:
    """Units of the coordinates (N,) for scaling = features: 1 for offsets, spread / (rms_j sqrt(d)) for column j of the head.

    A step of length sigma in every coordinate then changes each logit by about sigma times the spread of the start's logits
    (1 for a start of zeros), whatever the feature's own magnitudes are.
    """
    wide = np.asarray(features, dtype=np.float64)
    rms = np.sqrt(np.mean(wide**2, axis=0))
    floor = float(rms.max()) * 1e-3 or 1.0
    logits = wide @ np.asarray(head, dtype=np.float64).T
    spread = float(np.sqrt(np.mean((logits - logits.mean(axis=1, keepdims=True)) ** 2))) or 1.0
    unit = spread / (np.maximum(rms, floor) * np.sqrt(layout.width))
    return np.concatenate([np.ones(layout.num_offsets), np.tile(unit, layout.rows)])
