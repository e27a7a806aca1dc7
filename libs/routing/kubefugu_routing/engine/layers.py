"""The forward pass of one decoder layer on packed tokens, and its short form for the last layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as functional
from torch import Tensor

from kubefugu_routing.engine.attention import KeyValue, Segment, attend, attend_last
from kubefugu_routing.engine.packing import packed_linear
from kubefugu_routing.engine.params import DecoderParams, LayerParams

Rotary = tuple[Tensor, Tensor]
"""cos and sin of the packed tokens' positions, each (T, 1, head_dim)."""


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Root-mean-square norm in float32, scaled in the input's dtype, as transformers computes it."""
    wide = x.float()
    normed = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
    return weight * normed.to(x.dtype)


def _rotate(x: Tensor, rotary: Rotary) -> Tensor:
    cos, sin = rotary
    half = x.shape[-1] // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    return x * cos + turned * sin


def linear(x: Tensor, layer: LayerParams, name: str) -> Tensor:
    """x W^T + bias for a named matrix, in whichever form the layer holds it."""
    factors = layer.factored.get(name)
    if factors is not None:
        right, left = factors
        return functional.linear(functional.linear(x, right), left, layer.biases.get(name))
    packed = layer.packed.get(name)
    if packed is not None:
        return packed_linear(x, packed, layer.biases.get(name))
    return functional.linear(x, getattr(layer, name), layer.biases.get(name))


def project_query(x: Tensor, layer: LayerParams, params: DecoderParams, rotary: Rotary) -> Tensor:
    """Rotated queries (T, heads, head_dim) of normed inputs (T, d)."""
    query = linear(x, layer, "q_proj").view(x.shape[0], params.num_heads, params.head_dim)
    if layer.q_norm is not None:
        query = rms_norm(query, layer.q_norm, params.eps)
    return _rotate(query, rotary)


def keys_values(
    x: Tensor,
    layer: LayerParams,
    params: DecoderParams,
    rotary: Rotary,
    segments: Sequence[Segment],
    past: Sequence[KeyValue | None],
) -> list[KeyValue]:
    """Keys and values of each segment, past included. `x` is the normed input (T, d)."""
    key = linear(x, layer, "k_proj").view(x.shape[0], params.num_kv_heads, params.head_dim)
    if layer.k_norm is not None:
        key = rms_norm(key, layer.k_norm, params.eps)
    key = _rotate(key, rotary).transpose(0, 1)
    value = linear(x, layer, "v_proj").view(x.shape[0], params.num_kv_heads, params.head_dim).transpose(0, 1)
    out: list[KeyValue] = []
    for segment, before in zip(segments, past, strict=True):
        k, v = key[:, segment.start : segment.stop], value[:, segment.start : segment.stop]
        out.append((k, v) if before is None else (torch.cat((before[0], k), dim=1), torch.cat((before[1], v), dim=1)))
    return out


def mlp(x: Tensor, layer: LayerParams, params: DecoderParams) -> Tensor:
    """The second half of a layer, residual included."""
    normed = rms_norm(x, layer.post_norm, params.eps)
    inner = params.activation(linear(normed, layer, "gate_proj")) * linear(normed, layer, "up_proj")
    return x + linear(inner, layer, "down_proj")


def full_layer(
    x: Tensor,
    layer: LayerParams,
    params: DecoderParams,
    rotary: Rotary,
    segments: Sequence[Segment],
    past: Sequence[KeyValue | None],
) -> tuple[Tensor, list[KeyValue]]:
    """Hidden states (T, d) after the layer, and each segment's keys and values."""
    normed = rms_norm(x, layer.input_norm, params.eps)
    pairs = keys_values(normed, layer, params, rotary, segments, past)
    query = project_query(normed, layer, params, rotary)
    mixed = attend(query, [k for k, _ in pairs], [v for _, v in pairs], segments, params.scaling)
    return mlp(x + linear(mixed, layer, "o_proj"), layer, params), pairs


def last_layer(
    x: Tensor,
    layer: LayerParams,
    params: DecoderParams,
    rotary: Rotary,
    segments: Sequence[Segment],
    past: Sequence[KeyValue | None],
    wanted: Sequence[int],
) -> tuple[Tensor, list[KeyValue]]:
    """The last layer where only the final token of some segments is wanted: keys and values for all, the rest for those tokens.

    Returns hidden states (len(wanted), d) and each segment's keys and values.
    """
    normed = rms_norm(x, layer.input_norm, params.eps)
    pairs = keys_values(normed, layer, params, rotary, segments, past)
    if not wanted:
        return x[:0], pairs
    rows = torch.tensor([segments[i].stop - 1 for i in wanted], device=x.device)
    query = project_query(normed[rows], layer, params, (rotary[0][rows], rotary[1][rows]))
    mixed = attend_last(query, [pairs[i][0] for i in wanted], [pairs[i][1] for i in wanted], params.scaling)
    return mlp(x[rows] + linear(mixed, layer, "o_proj"), layer, params), pairs
