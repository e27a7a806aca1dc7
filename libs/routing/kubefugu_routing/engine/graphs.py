"""A whole forward pass of one fresh transcript as a CUDA graph: hundreds of small kernels start as one.

At 512 tokens of a 0.6B model a GPU computes for less than a millisecond, while Python needs several to start the kernels. A
graph replays fixed addresses and shapes, so a transcript is padded on the right to the next of a few lengths; causal attention
keeps the padding out of what comes before it, and the last layer reads one row through a mask, so nothing changes. One graph a
variant and length is recorded when it is first asked for, and kept only if it is faster than the ordinary pass and gives the
same.

The pass itself (`PaddedPass`) is ordinary torch and runs anywhere; only recording needs CUDA.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

import structlog
import torch
import torch.nn.functional as functional
from torch import Tensor

from kubefugu_routing.engine.attention import KeyValue, Segment
from kubefugu_routing.engine.layers import Rotary, full_layer, keys_values, linear, mlp, project_query, rms_norm
from kubefugu_routing.engine.params import DecoderParams
from kubefugu_routing.engine.rotary import RotaryTable
from kubefugu_routing.engine.variants import Variant

_log = structlog.get_logger()
LENGTHS = (64, 128, 192, 256, 384, 512, 768, 1024)
"""Padded lengths; a longer transcript takes the ordinary pass, whose kernels are long enough by themselves."""
_TRIALS = 5
_KEPT = 32
"""Graphs kept, least recently used first to go; each holds the keys and values of its length."""


class PaddedPass:
    """The forward pass over one padded transcript, with inputs and outputs at fixed addresses."""

    def __init__(self, params: DecoderParams, rotary: RotaryTable, variant: Variant, length: int) -> None:
        self._params, self._variant, self._length = params, variant, length
        device = params.device
        cos, sin = rotary.at([(0, length)])
        self._rotary: Rotary = (cos.clone(), sin.clone())
        self._staged = torch.zeros(length, dtype=torch.long, pin_memory=device.type == "cuda")
        self._last_staged = torch.zeros(1, dtype=torch.long, pin_memory=device.type == "cuda")
        self.tokens = torch.zeros(length, dtype=torch.long, device=device)
        self.last = torch.zeros(1, dtype=torch.long, device=device)
        self._positions = torch.arange(length, device=device)
        self.feature = torch.empty(0)
        self.pairs: list[KeyValue] = []

    def load(self, token_ids: tuple[int, ...]) -> None:
        """Put a transcript of at most the padded length where the pass reads it."""
        self._staged[: len(token_ids)] = torch.tensor(token_ids)
        self._last_staged[0] = len(token_ids) - 1
        self.tokens.copy_(self._staged, non_blocking=True)
        self.last.copy_(self._last_staged, non_blocking=True)

    def __call__(self) -> None:
        """Compute `feature` (d,) float32 and `pairs` of every layer."""
        params, pairs = self._params, []
        segments = [Segment(0, self._length, 0)]
        x = functional.embedding(self.tokens, params.embedding)
        if self._variant.embedding is not None:
            x = (x.float() + x.float() @ self._variant.embedding).to(params.dtype)
        final = len(params.layers) - 1
        for index, base in enumerate(params.layers):
            replaced = index == self._variant.layer and self._variant.matrices
            layer = base.with_matrices(self._variant.matrices, self._variant.packed) if replaced else base
            if index < final:
                x, made = full_layer(x, layer, params, self._rotary, segments, [None])
                pairs.append(made[0])
                continue
            normed = rms_norm(x, layer.input_norm, params.eps)
            ((key, value),) = keys_values(normed, layer, params, self._rotary, segments, [None])
            pairs.append((key, value))
            row = (self._rotary[0][self.last], self._rotary[1][self.last])
            query = project_query(normed[self.last], layer, params, row)
            mask = torch.zeros_like(self._positions, dtype=query.dtype).masked_fill(self._positions > self.last, float("-inf"))
            mixed = functional.scaled_dot_product_attention(
                query.transpose(0, 1)[None], key[None], value[None], attn_mask=mask[None], scale=params.scaling, enable_gqa=True
            )
            x = mlp(x[self.last] + linear(mixed.reshape(1, -1), layer, "o_proj"), layer, params)
        self.feature = rms_norm(x, params.norm, params.eps).float()[0]
        self.pairs = pairs


class GraphCache:
    """Recorded passes by variant and length. `record` makes a replayable pass of one; the default records a CUDA graph."""

    def __init__(
        self, params: DecoderParams, rotary: RotaryTable, *, record: Callable[[PaddedPass], Callable[[], object]] | None = None
    ) -> None:
        self._params, self._rotary = params, rotary
        self._record = record or record_cuda
        self._kept: OrderedDict[tuple[str, int], tuple[PaddedPass, Callable[[], object]] | None] = OrderedDict()

    def run(
        self, token_ids: tuple[int, ...], variant: Variant, ordinary: Callable[[], Tensor]
    ) -> tuple[Tensor, list[KeyValue]] | None:
        """Feature (d,) and the pairs of every layer, copies; None where the ordinary pass is to be taken.

        `ordinary` gives the feature without a graph; a new graph is compared with it.
        """
        length = next((padded for padded in LENGTHS if padded >= len(token_ids)), None)
        if length is None:
            return None
        key = (variant.key, length)
        if key not in self._kept:
            self._kept[key] = self._made(token_ids, variant, length, ordinary)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        found = self._kept[key]
        if found is None:
            return None
        padded, replay = found
        padded.load(token_ids)
        replay()
        n = len(token_ids)
        return padded.feature.clone(), [(k[:, :n].clone(), v[:, :n].clone()) for k, v in padded.pairs]

    def forget(self, key: str) -> None:
        """Drop a variant's graphs."""
        for kept in [kept for kept in self._kept if kept[0] == key]:
            del self._kept[kept]

    def _made(
        self, token_ids: tuple[int, ...], variant: Variant, length: int, ordinary: Callable[[], Tensor]
    ) -> tuple[PaddedPass, Callable[[], object]] | None:
        padded = PaddedPass(self._params, self._rotary, variant, length)
        padded.load(token_ids)
        try:
            replay = self._record(padded)
        except RuntimeError as error:
            # Without graphs the router is slower, not broken.
            _log.warning("graph_not_recorded", tokens=length, error=str(error))
            return None

        def graphed() -> Tensor:
            padded.load(token_ids)
            replay()
            return padded.feature

        graph_s, feature = _timed(graphed, self._params.device)
        ordinary_s, expected = _timed(ordinary, self._params.device)
        bound = (1e-4 if self._params.dtype is torch.float32 else 0.1) * float(expected.abs().max())
        equal = bool((feature - expected).abs().max() <= bound)
        kept = equal and graph_s < ordinary_s
        _log.info("graph_measured", tokens=length, graph_s=graph_s, ordinary_s=ordinary_s, equal=equal, kept=kept)
        return (padded, replay) if kept else None


def record_cuda(padded: PaddedPass) -> Callable[[], object]:
    """Warm the pass up on a side stream, then record it. https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch's
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            padded()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    # Other threads load policies meanwhile: their allocations must not end the recording.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        padded()
    return graph.replay


def _timed(call: Callable[[], Tensor], device: torch.device) -> tuple[float, Tensor]:
    """The best of a few runs in seconds, with the device's work finished, and a copy of the result."""
    best, result = float("inf"), torch.empty(0)
    for _ in range(_TRIALS):
        begun = time.perf_counter()
        result = call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - begun)
    return best, result.clone()
