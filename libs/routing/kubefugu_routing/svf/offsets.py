"""Offsets of singular values: what is trained beside the head.

W' = U diag(s * (1 + delta)) V^T * (sum s / sum s (1 + delta)); delta = 0 is the identity.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kubefugu_core.errors import ArtifactRefusedError
from kubefugu_routing.svf.layout import BLOCKS, EMBEDDING, LAYER_BLOCKS, LM_HEAD, SvfLayout


class TieMode(StrEnum):
    """What the embedding and lm_head blocks mean for a backbone whose embedding is tied; three published semantics."""

    AUTHOR = "author"
    """The shared matrix is written twice and the lm_head block, written last, wins."""
    FIXTURE = "fixture"
    """The matrices are taken as untied: only the embedding block acts on the embedding."""
    COMPOSED = "composed"
    """The embedding block first, then the lm_head block on the re-sorted spectrum of the result."""


@dataclass(frozen=True)
class SvfOffsets:
    """Offsets per matrix of one layer and of the embedding. Absent blocks are zero; an untied lm_head can't affect routing."""

    layer: int
    tie_mode: TieMode
    blocks: Mapping[str, NDArray[np.float32]]
    """Block name (svf.layout.BLOCKS) -> offsets, shape (min(rows, columns),)."""

    @classmethod
    def from_vector(cls, vector: NDArray[np.floating], layout: SvfLayout, *, tie_mode: TieMode) -> SvfOffsets:
        """Split a flat vector of `layout.total` offsets. Raises ArtifactRefusedError naming both lengths if they differ."""
        if vector.shape != (layout.total,):
            raise ArtifactRefusedError(f"Expected {layout.total} singular-value offsets, got {vector.size}.", field="offsets")
        blocks, start = {}, 0
        for name, length in layout.lengths.items():
            blocks[name] = np.asarray(vector[start : start + length], dtype=np.float32)
            start += length
        return cls(layer=layout.layer, tie_mode=tie_mode, blocks=blocks)

    def to_vector(self, layout: SvfLayout) -> NDArray[np.float64]:
        """The flat vector, zeros for absent blocks; float64 as published."""
        parts = [self.blocks.get(name, np.zeros(length)) for name, length in layout.lengths.items()]
        return np.concatenate(parts).astype(np.float64)

    def check(self, layout: SvfLayout) -> None:
        """Raise ArtifactRefusedError for unknown blocks, wrong lengths or values that are not finite."""
        if layout.layer != self.layer:
            raise ArtifactRefusedError(
                f"Offsets are for layer {self.layer}, the artifact for layer {layout.layer}.", field="layer"
            )
        for name, block in self.blocks.items():
            if name not in layout.lengths:
                raise ArtifactRefusedError(f"Unknown offset block {name!r}; known: {', '.join(BLOCKS)}.", field="offsets")
            if block.shape != (layout.lengths[name],):
                raise ArtifactRefusedError(
                    f"Offset block {name!r} has shape {block.shape}, the backbone needs ({layout.lengths[name]},).",
                    field="offsets",
                )
            if not np.isfinite(block).all():
                raise ArtifactRefusedError(f"Offset block {name!r} holds NaN or infinity.", field="offsets")

    @cached_property
    def non_zero(self) -> tuple[str, ...]:
        """Blocks with at least one offset other than zero, in vector order."""
        return tuple(name for name in BLOCKS if name in self.blocks and np.any(self.blocks[name]))

    def embedding_blocks(self, *, tied: bool) -> tuple[str, ...]:
        """Non-zero blocks that act on the embedding, in order of application."""
        if not tied or self.tie_mode is TieMode.FIXTURE:
            acting: tuple[str, ...] = (EMBEDDING,)
        elif self.tie_mode is TieMode.AUTHOR:
            acting = (LM_HEAD,)
        else:
            acting = (EMBEDDING, LM_HEAD)
        return tuple(name for name in acting if name in self.non_zero)

    def needed_factors(self, *, tied: bool) -> tuple[str, ...]:
        """Matrices whose factors are needed to apply these offsets; a tied lm_head is the embedding."""
        matrices = [name for name in LAYER_BLOCKS if name in self.non_zero]
        return ((EMBEDDING,) if self.embedding_blocks(tied=tied) else ()) + tuple(matrices)

    @cached_property
    def digest(self) -> str:
        """sha256 of what acts: layer, tie mode and non-zero blocks. Equal digests give equal hidden states."""
        sha = hashlib.sha256(f"{self.layer}:{self.tie_mode}".encode())
        for name in self.non_zero:
            sha.update(name.encode())
            sha.update(np.ascontiguousarray(self.blocks[name], dtype="<f4").tobytes())
        return sha.hexdigest()
