"""Causal attention over a packed step: the new tokens of several sequences lie one after another, without padding.

Sequences of equal length without a past share one kernel call with `is_causal`; one with a past needs the lower-right causal
mask (none for a single new token). Nothing that a sequence computes depends on its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as functional
from torch import Tensor

KeyValue = tuple[Tensor, Tensor]
"""Keys and values of one sequence in one layer, each (kv heads, tokens, head_dim)."""


@dataclass(frozen=True, slots=True)
class Segment:
    """New tokens [start, stop) of one sequence in the packed step, after `past` earlier ones."""

    start: int
    stop: int
    past: int

    @property
    def length(self) -> int:
        """New tokens."""
        return self.stop - self.start


@lru_cache(maxsize=64)
def _lower_right(new: int, total: int, device: torch.device) -> Tensor:
    return torch.ones(new, total, dtype=torch.bool, device=device).tril(total - new)


def attend(
    query: Tensor, keys: Sequence[Tensor], values: Sequence[Tensor], segments: Sequence[Segment], scale: float
) -> Tensor:
    """Attention output (T, heads * head_dim) for packed queries (T, heads, head_dim).

    `keys[i]` and `values[i]` are those of segment i, past included, each (kv heads, past + new, head_dim).
    """
    out = torch.empty(query.shape[0], query.shape[1] * query.shape[2], dtype=query.dtype, device=query.device)
    fresh: dict[int, list[int]] = {}
    for i, segment in enumerate(segments):
        if segment.past == 0:
            fresh.setdefault(segment.length, []).append(i)
        else:
            mask = None if segment.length == 1 else _lower_right(segment.length, keys[i].shape[1], query.device)
            part = query[segment.start : segment.stop].transpose(0, 1).unsqueeze(0)
            result = functional.scaled_dot_product_attention(
                part, keys[i].unsqueeze(0), values[i].unsqueeze(0), attn_mask=mask, scale=scale, enable_gqa=True
            )
            out[segment.start : segment.stop] = result[0].transpose(0, 1).flatten(1)
    for length, members in fresh.items():
        part = torch.stack([query[segments[i].start : segments[i].stop] for i in members]).transpose(1, 2)
        result = functional.scaled_dot_product_attention(
            part,
            torch.stack([keys[i] for i in members]),
            torch.stack([values[i] for i in members]),
            is_causal=length > 1,
            scale=scale,
            enable_gqa=True,
        )
        for row, i in enumerate(members):
            out[segments[i].start : segments[i].stop] = result[row].transpose(0, 1).flatten(1)
    return out


def attend_last(query: Tensor, keys: Sequence[Tensor], values: Sequence[Tensor], scale: float) -> Tensor:
    """Attention output (n, heads * head_dim) of one query token per sequence, query (n, heads, head_dim), over all its keys."""
    rows = []
    for i, (key, value) in enumerate(zip(keys, values, strict=True)):
        result = functional.scaled_dot_product_attention(
            query[i][None, :, None, :], key.unsqueeze(0), value.unsqueeze(0), scale=scale, enable_gqa=True
        )
        rows.append(result.reshape(1, -1))
    return torch.cat(rows)
