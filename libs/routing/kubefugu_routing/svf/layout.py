"""Where each matrix's offsets lie in the published parameter vector.

The order is that of the state dict over two-dimensional matrices that lie outside the decoder layers or inside the chosen one:
embedding, q, k, v, o, gate, up, down, lm_head. Each contributes min(rows, columns) offsets; for Qwen3-0.6B 9 x 1024.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kubefugu_core.errors import ArtifactRefusedError
from kubefugu_routing.backbone.info import BackboneInfo

EMBEDDING = "embed_tokens"
LM_HEAD = "lm_head"
LAYER_BLOCKS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
BLOCKS = (EMBEDDING, *LAYER_BLOCKS, LM_HEAD)


def default_layer(info: BackboneInfo) -> int:
    """The adapted layer where nothing else is said: the last but one."""
    return max(0, info.num_layers - 2)


@dataclass(frozen=True, slots=True)
class SvfLayout:
    """Lengths of the offset blocks of one backbone and layer, in vector order."""

    layer: int
    lengths: Mapping[str, int]

    @property
    def total(self) -> int:
        """Number of offsets."""
        return sum(self.lengths.values())


def layout_of(info: BackboneInfo, layer: int | None = None) -> SvfLayout:
    """The layout for a layer (default: last but one). Raises ArtifactRefusedError for a layer that the backbone lacks."""
    chosen = default_layer(info) if layer is None else layer
    if not 0 <= chosen < info.num_layers:
        raise ArtifactRefusedError(f"Layer {chosen} is not one of the backbone's {info.num_layers} layers.", field="layer")
    return SvfLayout(layer=chosen, lengths={name: min(info.shapes[name]) for name in BLOCKS})
