"""Applying offsets from cached factors.

From W = U diag(s) V^T follows W' = W V diag(g) V^T with gains g = (1 + delta) * sum s / sum s (1 + delta), so U is never
needed. Everything is written as W + W V diag(g - 1) V^T, which is exactly W for zero offsets. Differentiable in delta.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from kubefugu_core.errors import ArtifactRefusedError
from kubefugu_routing.svf.factors import FactorBundle
from kubefugu_routing.svf.layout import EMBEDDING, LAYER_BLOCKS
from kubefugu_routing.svf.offsets import SvfOffsets


def gains(s: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
    """g, shape (r,), in the dtype of `s`. Raises ArtifactRefusedError where the offsets leave no positive spectrum sum."""
    raised = 1 + delta.to(s.dtype)
    total = (s * raised).sum()
    if not bool(total > 0):
        raise ArtifactRefusedError("The offsets leave a spectrum whose sum is not positive.", field="offsets")
    return raised * (s.sum() / total)


def adapted(matrix: torch.Tensor, v: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
    """W' (rows, columns) in float32 from W, V (columns, r) and gains (r,)."""
    v = v.to(matrix.device)
    extra = ((matrix @ v) * (gain - 1).to(matrix.device, matrix.dtype)) @ v.T
    return matrix + extra


def layer_matrices(
    bundle: FactorBundle, matrices: Mapping[str, torch.Tensor], deltas: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """W' of each layer matrix that has offsets; `matrices` and `deltas` by block name."""
    out = {}
    for name in LAYER_BLOCKS:
        if name in deltas:
            factors = bundle.matrices[name]
            gain = gains(factors.s.to(deltas[name].device), deltas[name])
            out[name] = adapted(matrices[name], factors.v, gain)
    return out


def embedding_transform(bundle: FactorBundle, offsets: SvfOffsets, *, tied: bool) -> torch.Tensor | None:
    """T (d, d), float32, with e' = e + e T for every row e of the embedding; None where the embedding is left alone.

    The matrix itself (0.6 GB at Qwen3-0.6B's shape) is never rebuilt: only the gathered rows are transformed. `composed`: the
    second block acts on the re-sorted spectrum of the first one's result, whose singular vectors are the same ones in another
    order (an offset below -1 makes a value negative; its magnitude counts, the sign belongs to U).
    """
    acting = offsets.embedding_blocks(tied=tied)
    if not acting:
        return None
    factors = bundle.matrices[EMBEDDING]
    gain = torch.ones_like(factors.s)
    for name in acting:
        spectrum = factors.s * gain
        order = torch.argsort(spectrum.abs(), descending=True, stable=True)
        delta = torch.from_numpy(offsets.blocks[name]).to(factors.s.dtype)
        step = torch.empty_like(gain)
        step[order] = gains(spectrum.abs()[order], delta)
        gain = gain * step
    v = factors.v.to(torch.float64)
    return ((v * (gain - 1)) @ v.T).to(torch.float32)
