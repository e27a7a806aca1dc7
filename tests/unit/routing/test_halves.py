"""The forward pass in two halves, as training uses it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from support.backbones import Tiny

from kubefugu_routing.backbone import load_backbone
from kubefugu_routing.engine import Engine
from kubefugu_routing.svf import LAYER_BLOCKS, SvfOffsets, TieMode, layout_of
from kubefugu_routing.svf.apply import layer_matrices
from kubefugu_routing.svf.factors import make_bundle

BATCH = [[1, 2, 3, 4, 5, 6, 7], [9, 8, 7], [100, 200, 300, 400]]


def test_both_halves_give_the_whole(tiny: Callable[..., Tiny]) -> None:
    backbone = load_backbone(str(tiny("qwen2", tied=False).directory))
    engine = Engine(backbone)
    rng = np.random.default_rng(0)
    lengths = layout_of(backbone.info, 2).lengths
    blocks = {name: rng.normal(scale=0.2, size=lengths[name]).astype(np.float32) for name in LAYER_BLOCKS}
    states = engine.entering_states(BATCH, 2)
    assert [tuple(s.shape) for s in states] == [(6, 48), (2, 48), (3, 48)]
    weights = {name: backbone.matrix(name, 2) for name in LAYER_BLOCKS}
    deltas = {name: torch.from_numpy(block) for name, block in blocks.items()}
    matrices = layer_matrices(make_bundle(backbone, layer=2), weights, deltas)
    expected = engine.features(BATCH, SvfOffsets(layer=2, tie_mode=TieMode.FIXTURE, blocks=blocks))
    np.testing.assert_allclose(engine.features_from(states, 2, matrices).detach().numpy(), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(engine.features_from(states, 2, {}).numpy(), engine.features(BATCH), rtol=0, atol=1e-5)


def test_gradients_of_offsets_equal_finite_differences(tiny: Callable[..., Tiny]) -> None:
    backbone = load_backbone(str(tiny("qwen3", tied=True).directory))
    engine = Engine(backbone)
    engine.features(BATCH)  # what serving leaves behind must not spoil a backward pass
    bundle = make_bundle(backbone, layer=2)
    states = engine.entering_states(BATCH, 2)
    weights = {name: backbone.matrix(name, 2) for name in LAYER_BLOCKS}
    direction = torch.randn(3, 48, generator=torch.Generator().manual_seed(0))

    def value(deltas: dict[str, torch.Tensor]) -> torch.Tensor:
        return (engine.features_from(states, 2, layer_matrices(bundle, weights, deltas)) * direction).sum()

    deltas = {name: torch.zeros(bundle.matrices[name].s.shape[0], requires_grad=True) for name in LAYER_BLOCKS}
    value(deltas).backward()
    for name in LAYER_BLOCKS:
        gradient = deltas[name].grad
        assert gradient is not None
        step = gradient / gradient.norm()
        moved = [{k: (v + sign * 1e-2 * step if k == name else v).detach() for k, v in deltas.items()} for sign in (1, -1)]
        slope = float(value(moved[0]) - value(moved[1])) / 2e-2
        assert abs(slope - float(gradient.norm())) < 0.03 * float(gradient.norm()) + 1e-3, name
