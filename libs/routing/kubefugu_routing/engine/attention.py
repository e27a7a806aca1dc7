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


_PRODUCT_SCORES = 1 << 18
"""Scores of one head up to which two matrix products beat the fused kernel in bfloat16 on a CPU."""


@lru_cache(maxsize=64)
def _lower_right(new: int, total: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The causal mask of the last `new` of `total` positions, to be added to scores."""
    allowed = torch.ones(new, total, dtype=torch.bool, device=device).tril(total - new)
    return torch.zeros(new, total, dtype=dtype, device=device).masked_fill(~allowed, float("-inf"))


def _causal(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Attention of the last tokens of n equally long sequences: (n, heads, new, head_dim) over (n, kv heads, total, ...)."""
    new, total = query.shape[2], key.shape[2]
    if query.dtype is torch.bfloat16 and query.device.type == "cpu" and new * total <= _PRODUCT_SCORES:
        return _products(query, key, value, scale)
    if new == total:
        return functional.scaled_dot_product_attention(query, key, value, is_causal=new > 1, scale=scale, enable_gqa=True)
    mask = None if new == 1 else _lower_right(new, total, query.device, query.dtype)
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale, enable_gqa=True)


def _products(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """The same by two products and a softmax in float32: the CPU's fused kernel computes bfloat16 at float32's pace."""
    count, heads, new, width = query.shape
    groups, total = key.shape[1], key.shape[2]
    stacked = query.reshape(count * groups, heads // groups * new, width)
    scores = torch.bmm(stacked, key.reshape(count * groups, total, width).transpose(1, 2)).float().mul_(scale)
    if new > 1:
        scores.view(-1, new, total).add_(_lower_right(new, total, query.device, torch.float32))
    weights = torch.softmax(scores, dim=-1).to(query.dtype)
    return torch.bmm(weights, value.reshape(count * groups, total, width)).view(count, heads, new, width)


def _together(tensors: Sequence[Tensor]) -> Tensor:
    """Stacked; a single one is not copied."""
    return tensors[0].unsqueeze(0) if len(tensors) == 1 else torch.stack(list(tensors))


def attend(
    query: Tensor, keys: Sequence[Tensor], values: Sequence[Tensor], segments: Sequence[Segment], scale: float
) -> Tensor:
    """Attention output (T, heads * head_dim) for packed queries (T, heads, head_dim).

    `keys[i]` and `values[i]` are those of segment i, past included, each (kv heads, past + new, head_dim).
    """
    out = torch.empty(query.shape[0], query.shape[1] * query.shape[2], dtype=query.dtype, device=query.device)
    alike: dict[tuple[int, int], list[int]] = {}
    for i, segment in enumerate(segments):
        # Copying the keys of long pasts together would cost more than a call each.
        alike.setdefault((segment.length, i if segment.past else -1), []).append(i)
    for members in alike.values():
        part = _together([query[segments[i].start : segments[i].stop] for i in members]).transpose(1, 2)
        result = _causal(part, _together([keys[i] for i in members]), _together([values[i] for i in members]), scale)
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
