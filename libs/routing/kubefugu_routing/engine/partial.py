"""The forward pass in two halves, for training: states entering the adapted layer once, the rest for each candidate.

The layers below the adapted one don't depend on its offsets, so their output is computed once for a set of prompts and reused
by every candidate (15 times cheaper at Qwen3-0.6B's shape). The second half is differentiable in the matrices it is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from kubefugu_routing.engine.attention import Segment
from kubefugu_routing.engine.layers import Rotary, full_layer, last_layer, rms_norm
from kubefugu_routing.engine.params import DecoderParams
from kubefugu_routing.engine.rotary import RotaryTable


def _plan(table: RotaryTable, lengths: Sequence[int]) -> tuple[list[Segment], Rotary]:
    segments, start = [], 0
    for length in lengths:
        segments.append(Segment(start, start + length, 0))
        start += length
    return segments, table.at([(0, length) for length in lengths])


def entering_states(params: DecoderParams, table: RotaryTable, batch: Sequence[Sequence[int]], layer: int) -> list[Tensor]:
    """Hidden states entering `layer`, for each sequence (tokens - 1, d): position -2 never sees the last token."""
    with torch.no_grad():
        tokens = [list(ids[:-1]) for ids in batch]
        segments, rotary = _plan(table, [len(ids) for ids in tokens])
        x = params.embedding[torch.tensor([t for ids in tokens for t in ids], device=params.device)]
        past = [None] * len(segments)
        for index in range(layer):
            x, _ = full_layer(x, params.layers[index], params, rotary, segments, past)
        return [x[segment.start : segment.stop].clone() for segment in segments]


def features_from(
    params: DecoderParams,
    table: RotaryTable,
    states: Sequence[Tensor],
    layer: int,
    matrices: Mapping[str, Tensor],
    factored: Mapping[str, tuple[Tensor, Tensor]] | None = None,
) -> Tensor:
    """Features (n, d) float32 from states entering `layer`, with that layer's matrices replaced by block name.

    `factored`: matrices given as two factors (right, left) with W' = left @ right; cheaper than W' itself for few tokens.
    """
    segments, rotary = _plan(table, [state.shape[0] for state in states])
    x = torch.cat(list(states))
    past = [None] * len(segments)
    final = len(params.layers) - 1
    adapted = replace(params.layers[layer].with_matrices(matrices), factored=dict(factored or {}))
    for index in range(layer, len(params.layers)):
        weights = adapted if index == layer else params.layers[index]
        if index < final:
            x, _ = full_layer(x, weights, params, rotary, segments, past)
        else:
            x, _ = last_layer(x, weights, params, rotary, segments, past, range(len(segments)))
    return rms_norm(x, params.norm, params.eps).float()
