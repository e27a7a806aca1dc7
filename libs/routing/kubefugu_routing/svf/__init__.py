"""Singular-value fine-tuning (Transformer-Squared; TRINITY, section 3.2) of one decoder layer and the embedding.

`layout` and `offsets` are numpy only; `factors` and `apply` need torch and are imported where they are used.
"""

from kubefugu_routing.svf.layout import BLOCKS, LAYER_BLOCKS, SvfLayout, default_layer, layout_of
from kubefugu_routing.svf.offsets import SvfOffsets, TieMode

__all__ = ["BLOCKS", "LAYER_BLOCKS", "SvfLayout", "SvfOffsets", "TieMode", "default_layer", "layout_of"]
