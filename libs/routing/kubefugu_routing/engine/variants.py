"""A variant: the backbone as one set of offsets leaves it.

Policies with equal offsets share a variant; zero offsets are the base.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from kubefugu_core.errors import ArtifactRefusedError
from kubefugu_routing.backbone import Backbone
from kubefugu_routing.engine.packing import pack
from kubefugu_routing.svf import SvfOffsets, layout_of
from kubefugu_routing.svf.apply import embedding_transform, layer_matrices
from kubefugu_routing.svf.factors import FactorBundle

BASE_KEY = ""
"""Key of the variant without offsets."""


@dataclass(frozen=True, eq=False)
class Variant:
    """Weights that differ from the base."""

    key: str
    """Digest of the offsets; equal keys give equal hidden states."""
    layer: int
    """First layer that differs; the number of layers for the base."""
    matrices: Mapping[str, Tensor] = field(default_factory=dict)
    """Replaced matrices of `layer` by block name."""
    packed: Mapping[str, Tensor] = field(default_factory=dict)
    """Their packed forms where the engine packs; `matrices` are empty then."""
    embedding: Tensor | None = None
    """T (d, d) with e' = e + e T for each embedded token."""

    @property
    def shares_base(self) -> bool:
        """True if the layers below `layer` compute what the base computes."""
        return self.embedding is None


def build_variant(
    backbone: Backbone,
    offsets: SvfOffsets | None,
    factors: FactorBundle | Callable[[], FactorBundle] | None,
    *,
    packed: bool = False,
) -> Variant:
    """Apply offsets to the backbone's weights; `packed`: in the layout of the CPU kernels.

    Raises ArtifactRefusedError where the factors are missing or not this backbone's.
    """
    info = backbone.info
    if offsets is None or not offsets.needed_factors(tied=info.tied):
        return Variant(BASE_KEY, info.num_layers)
    offsets.check(layout_of(info, offsets.layer))
    bundle = factors() if callable(factors) else factors
    if bundle is None:
        raise ArtifactRefusedError("Offsets need a factor bundle.", field="factors")
    needed = offsets.needed_factors(tied=info.tied)
    bundle.check(backbone, needed, layer=offsets.layer)
    device, dtype = info.device, getattr(torch, info.dtype)
    names = [name for name in needed if name != "embed_tokens"]
    weights = {name: backbone.matrix(name, offsets.layer) for name in names}
    deltas = {name: torch.from_numpy(offsets.blocks[name]) for name in names}
    with torch.no_grad():
        matrices = layer_matrices(bundle, weights, deltas)
        embedding = embedding_transform(bundle, offsets, tied=info.tied)
    ready = {name: matrix.to(device, dtype) for name, matrix in matrices.items()}
    own = {name: pack(matrix) for name, matrix in ready.items()} if packed else {}
    return Variant(
        key=offsets.digest,
        layer=offsets.layer,
        matrices=dict.fromkeys(own, torch.empty(0)) if packed else ready,
        packed=own,
        embedding=None if embedding is None else embedding.to(device),
    )
