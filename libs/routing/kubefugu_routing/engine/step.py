"""One step: some new tokens of several sequences pass through all layers, in as few lanes as their variants need.

The base lane runs first. Where a variant adapts a layer it forks: its lane starts from the base lane's hidden states entering
that layer, so that the layers below are computed once for all policies that leave the embedding alone. A variant that moves
the embedding has a lane of its own from the bottom.
"""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field

import torch
from torch import Tensor

from kubefugu_routing.engine.attention import KeyValue, Segment
from kubefugu_routing.engine.layers import Rotary, full_layer, last_layer, rms_norm
from kubefugu_routing.engine.params import DecoderParams, LayerParams
from kubefugu_routing.engine.rotary import RotaryTable
from kubefugu_routing.engine.sequence import Sequence
from kubefugu_routing.engine.variants import BASE_KEY, Variant

_BASE = Variant(BASE_KEY, 0)


@dataclass(frozen=True, slots=True)
class Part:
    """The next `count` tokens of a sequence."""

    sequence: Sequence
    count: int

    @property
    def final(self) -> bool:
        """True if this part reaches the sequence's end."""
        return self.count == self.sequence.remaining


@dataclass(slots=True)
class _Lane:
    """Packed hidden states of the parts that one variant runs through."""

    variant: Variant
    parts: list[Part]
    x: Tensor
    layer: int
    """Next layer."""
    made: list[list[KeyValue]]
    """For each part the keys and values of this lane's layers so far."""
    features: list[tuple[Sequence, Tensor]] = field(default_factory=list)
    """Final hidden states of the sequences that end in this step."""


class Stepper:
    """Runs steps over one decoder's weights."""

    def __init__(self, params: DecoderParams, rotary: RotaryTable) -> None:
        self._params = params
        self._rotary = rotary

    @property
    def num_layers(self) -> int:
        """Layers of the decoder."""
        return len(self._params.layers)

    def advance(self, parts: SequenceOf[Part]) -> None:
        """Compute the parts; sequences that reach their end get their features."""
        with torch.inference_mode():
            roots = self._roots(list(parts))
            finished: list[_Lane] = []
            while roots:
                lane = roots.pop()
                roots.extend(self._run(lane))
                finished.append(lane)
            # Only now: a failure above leaves every sequence as it was.
            for lane in finished:
                for part, made in zip(lane.parts, lane.made, strict=True):
                    part.sequence.lanes[lane.variant.key] = made
                for sequence, feature in lane.features:
                    sequence.features[lane.variant.key] = feature
            for part in parts:
                part.sequence.done += part.count

    def _roots(self, parts: list[Part]) -> list[_Lane]:
        lanes = []
        shared = [part for part in parts if part.sequence.base_depth > 0 or _forks_at(part.sequence, 0)]
        if shared:
            lanes.append(_Lane(_BASE, shared, self._embed(shared, None), 0, [[] for _ in shared]))
        own: dict[str, tuple[Variant, list[Part]]] = {}
        for part in parts:
            for variant in part.sequence.variants:
                if variant.embedding is not None:
                    own.setdefault(variant.key, (variant, []))[1].append(part)
        for variant, members in own.values():
            lanes.append(_Lane(variant, members, self._embed(members, variant.embedding), 0, [[] for _ in members]))
        return lanes

    def _embed(self, parts: list[Part], transform: Tensor | None) -> Tensor:
        tokens = [t for part in parts for t in part.sequence.tokens[part.sequence.done : part.sequence.done + part.count]]
        params = self._params
        rows = params.embedding[torch.tensor(tokens, device=params.device)]
        if transform is None:
            return rows
        return (rows.float() + rows.float() @ transform).to(params.dtype)

    def _run(self, lane: _Lane) -> list[_Lane]:
        """Take a lane to its end; returns the lanes that forked from it."""
        forks: list[_Lane] = []
        num_layers = len(self._params.layers)
        is_base = lane.variant.key == BASE_KEY
        parts, made, x = lane.parts, lane.made, lane.x
        begin = lane.layer
        plan = self._plan(parts)
        for index in range(begin, num_layers):
            if is_base:
                forks.extend(self._fork(parts, x, index))
                keep = [i for i, part in enumerate(parts) if part.sequence.base_depth > index]
                if len(keep) < len(parts):
                    x = torch.cat([_rows(x, plan[0][i]) for i in keep]) if keep else x[:0]
                    parts, made = [parts[i] for i in keep], [made[i] for i in keep]
                    plan = self._plan(parts)
                if not parts:
                    break
            x = self._layer(lane, index, begin, parts, made, x, plan)
        return forks

    def _layer(
        self,
        lane: _Lane,
        index: int,
        begin: int,
        parts: list[Part],
        made: list[list[KeyValue]],
        x: Tensor,
        plan: tuple[list[Segment], Rotary],
    ) -> Tensor:
        segments, rotary = plan
        key = lane.variant.key
        past = [_past(part, key, index - begin) for part in parts]
        layer = self._weights(lane.variant, index)
        if index < len(self._params.layers) - 1:
            x, pairs = full_layer(x, layer, self._params, rotary, segments, past)
        else:
            wanted = [i for i, part in enumerate(parts) if part.final]
            x, pairs = last_layer(x, layer, self._params, rotary, segments, past, wanted)
            features = rms_norm(x, self._params.norm, self._params.eps).float()
            lane.features = [(parts[i].sequence, features[row]) for row, i in enumerate(wanted)]
        for kept, pair in zip(made, pairs, strict=True):
            kept.append(pair)
        return x

    def _weights(self, variant: Variant, index: int) -> LayerParams:
        layer = self._params.layers[index]
        if index != variant.layer or not variant.matrices:
            return layer
        return layer.with_matrices(variant.matrices, variant.packed)

    def _fork(self, parts: list[Part], x: Tensor, index: int) -> list[_Lane]:
        members: dict[str, tuple[Variant, list[int]]] = {}
        for i, part in enumerate(parts):
            for variant in _forks_at(part.sequence, index):
                members.setdefault(variant.key, (variant, []))[1].append(i)
        segments = self._segments(parts)
        lanes = []
        for variant, rows in members.values():
            picked = x if len(rows) == len(parts) else torch.cat([_rows(x, segments[i]) for i in rows])
            lanes.append(_Lane(variant, [parts[i] for i in rows], picked, index, [[] for _ in rows]))
        return lanes

    def _segments(self, parts: list[Part]) -> list[Segment]:
        segments, start = [], 0
        for part in parts:
            segments.append(Segment(start, start + part.count, part.sequence.done))
            start += part.count
        return segments

    def _plan(self, parts: list[Part]) -> tuple[list[Segment], Rotary]:
        segments = self._segments(parts)
        return segments, self._rotary.at([(segment.past, segment.length) for segment in segments])


def _forks_at(sequence: Sequence, index: int) -> list[Variant]:
    return [v for v in sequence.variants if v.shares_base and v.key != BASE_KEY and v.layer == index]


def _rows(x: Tensor, segment: Segment) -> Tensor:
    return x[segment.start : segment.stop]


def _past(part: Part, key: str, offset: int) -> KeyValue | None:
    return part.sequence.lanes[key][offset] if part.sequence.done else None
