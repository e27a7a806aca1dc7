"""The engine: token ids in, hidden states and row logits out. Pure torch, one caller at a time."""

from kubefugu_routing.engine.engine import Engine, EngineStats
from kubefugu_routing.engine.sequence import Sequence
from kubefugu_routing.engine.variants import Variant

__all__ = ["Engine", "EngineStats", "Sequence", "Variant"]
