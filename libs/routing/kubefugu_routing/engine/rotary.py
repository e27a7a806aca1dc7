"""cos and sin of positions, computed by transformers' own rotary module and kept in a table that grows."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from kubefugu_routing.engine.params import DecoderParams

_FIRST_POSITIONS = 1024


class RotaryTable:
    """Rows of the table are positions; the values are those of `model.rotary_emb` in the weights' dtype."""

    def __init__(self, params: DecoderParams) -> None:
        # Not the parameters themselves: their matrices may be replaced, and must not be kept alive from here.
        self._rotary, self._dtype, self._device = params.rotary, params.dtype, params.device
        self._cos = torch.empty(0)
        self._sin = torch.empty(0)

    def _grow(self, positions: int) -> None:
        size = max(_FIRST_POSITIONS, 1 << (positions - 1).bit_length())
        # Ordinary tensors also where a step in inference mode asks first: training saves them for its backward pass.
        with torch.inference_mode(False), torch.no_grad():
            probe = torch.empty(1, dtype=self._dtype, device=self._device)
            ids = torch.arange(size, device=self._device).unsqueeze(0)
            cos, sin = self._rotary(probe, ids)
            self._cos, self._sin = cos[0].unsqueeze(1).clone(), sin[0].unsqueeze(1).clone()

    def at(self, spans: Sequence[tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """cos and sin, each (T, 1, head_dim), of the spans (first position, count) one after another."""
        needed = max((first + count for first, count in spans), default=0)
        if needed > self._cos.shape[0]:
            self._grow(needed)
        if not spans:
            return self._cos[:0], self._sin[:0]
        if len(spans) == 1:
            first, count = spans[0]
            return self._cos[first : first + count], self._sin[first : first + count]
        ids = torch.cat([torch.arange(first, first + count) for first, count in spans]).to(self._device)
        return self._cos[ids], self._sin[ids]
