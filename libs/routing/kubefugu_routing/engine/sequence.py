"""A token sequence on its way through the engine."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field

from torch import Tensor

from kubefugu_routing.engine.attention import KeyValue
from kubefugu_routing.engine.variants import BASE_KEY, Variant


@dataclass(eq=False)
class Sequence:
    """One request's tokens, less the last one (position -2 never sees it), and what has been computed of them.

    `done` tokens have keys and values in every lane; a lane is the run of layers that one variant needs of its own. The base
    lane holds layers 0 to `base_depth`.
    """

    tokens: tuple[int, ...]
    variants: tuple[Variant, ...]
    base_depth: int
    """Layers that the base lane must run: all for the base variant, else up to the highest layer where a variant forks."""
    done: int = 0
    cached: int = 0
    """Tokens whose keys and values came from the prefix cache."""
    lanes: dict[str, list[KeyValue]] = field(default_factory=dict)
    """Variant key -> keys and values of the lane's layers, in order."""
    features: dict[str, Tensor] = field(default_factory=dict)
    """Variant key -> final hidden state (d,), once finished."""

    @property
    def remaining(self) -> int:
        """Tokens still to be computed."""
        return len(self.tokens) - self.done

    @property
    def finished(self) -> bool:
        """True when every variant's feature is there."""
        return len(self.features) == len(self.variants)


def make_sequence(token_ids: SequenceOf[int], variants: SequenceOf[Variant], num_layers: int) -> Sequence:
    """A sequence for distinct variants. Raises ValueError for fewer than two tokens or no variant."""
    if len(token_ids) < 2:
        raise ValueError("a transcript needs at least two tokens")
    if not variants:
        raise ValueError("a sequence needs at least one variant")
    distinct = tuple({variant.key: variant for variant in variants}.values())
    depth = 0
    for variant in distinct:
        if variant.shares_base:
            depth = max(depth, num_layers if variant.key == BASE_KEY else variant.layer)
    return Sequence(tokens=tuple(token_ids[:-1]), variants=distinct, base_depth=depth)
