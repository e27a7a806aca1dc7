"""The engine against an independent, naive implementation: full causal LM in float64, full re-materialised weights."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import numpy as np
import pytest
from support.backbones import VOCABULARY, Tiny, adapt_reference, random_offsets, reference_features

from kubefugu_routing.backbone import load_backbone
from kubefugu_routing.engine import Engine
from kubefugu_routing.engine.engine import head_logits
from kubefugu_routing.svf import TieMode, layout_of

KINDS = [(kind, tied) for kind in ("qwen3", "qwen2", "llama") for tied in (True, False)]
LENGTHS = (2, 3, 9, 31, 9, 64, 17)


def tokens(seed: int, lengths: tuple[int, ...] = LENGTHS) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [[int(t) for t in rng.integers(0, VOCABULARY, size=n)] for n in lengths]


@pytest.mark.parametrize(("kind", "tied"), KINDS)
def test_base_features_equal_the_full_model_at_position_minus_two(tiny: Callable[..., Tiny], kind: str, tied: bool) -> None:
    model = tiny(kind, tied=tied)
    batch = tokens(1)
    got = Engine(load_backbone(str(model.directory))).features(batch)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, reference_features(model.reference, batch), rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", list(TieMode))
@pytest.mark.parametrize(("kind", "tied"), KINDS)
@pytest.mark.parametrize("layer", [0, 2, 3])
def test_offsets_equal_full_rematerialised_weights(
    tiny: Callable[..., Tiny], kind: str, tied: bool, mode: TieMode, layer: int
) -> None:
    model = tiny(kind, tied=tied)
    backbone = load_backbone(str(model.directory))
    offsets = random_offsets(layout_of(backbone.info, layer).lengths, layer, mode)
    batch = tokens(2)
    head = np.random.default_rng(3).normal(size=(7, 48)).astype(np.float32)
    got = Engine(backbone).features(batch, offsets)
    expected = reference_features(adapt_reference(model, offsets), batch)
    base = reference_features(model.reference, batch)
    assert np.abs(expected - base).max() > 0.05, "the offsets must matter, or the comparison shows nothing"
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)
    logits = head_logits(got, head)
    np.testing.assert_allclose(logits, expected @ head.T, rtol=0, atol=1e-5 * np.abs(head).sum(axis=1).max())


@pytest.mark.parametrize(("kind", "tied"), KINDS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_packed_matrices_make_no_difference(tiny: Callable[..., Tiny], kind: str, tied: bool, dtype: str) -> None:
    directory = str(tiny(kind, tied=tied).directory)
    plain = Engine(load_backbone(directory, dtype=dtype))
    backbone = load_backbone(directory, dtype=dtype)
    given = weakref.ref(backbone.model.layers[0].mlp.up_proj.weight)
    packed = Engine(backbone, pack=True, kv_cache_bytes=1 << 22)
    offsets = random_offsets(layout_of(plain.backbone.info, 2).lengths, 2, TieMode.COMPOSED)
    batch = tokens(2)
    bound = 1e-5 if dtype == "float32" else 0.1
    for _ in range(2):
        np.testing.assert_allclose(packed.features(batch), plain.features(batch), rtol=0, atol=bound)
        np.testing.assert_allclose(packed.features(batch, offsets), plain.features(batch, offsets), rtol=0, atol=bound)
    gc.collect()
    assert given() is None, "the backbone's copies are gone"
    with pytest.raises(ValueError, match="packed"):
        packed.features_from(packed.entering_states(batch, 2), 2, {})


def test_the_three_tie_modes_differ_on_a_tied_backbone(tiny: Callable[..., Tiny]) -> None:
    backbone = load_backbone(str(tiny("qwen3", tied=True).directory))
    engine, lengths = Engine(backbone), layout_of(backbone.info, 2).lengths
    features = [engine.features(tokens(4), random_offsets(lengths, 2, mode)) for mode in TieMode]
    for a in range(3):
        for b in range(a):
            assert np.abs(features[a] - features[b]).max() > 0.01


def test_offsets_below_minus_one_compose_by_magnitude(tiny: Callable[..., Tiny]) -> None:
    model = tiny("qwen3", tied=True)
    backbone = load_backbone(str(model.directory))
    offsets = random_offsets(layout_of(backbone.info, 2).lengths, 2, TieMode.COMPOSED, scale=0.2)
    offsets.blocks["embed_tokens"][3] = -1.7
    offsets.blocks["embed_tokens"][11] = -2.2
    got = Engine(backbone).features(tokens(5), offsets)
    np.testing.assert_allclose(got, reference_features(adapt_reference(model, offsets), tokens(5)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("budget", [1, 7, 50, 2048])
@pytest.mark.parametrize("cache_bytes", [0, 1 << 22])
def test_batches_pieces_and_cache_make_no_difference(tiny: Callable[..., Tiny], budget: int, cache_bytes: int) -> None:
    """Mixed lengths together, computed in pieces of any size, with and without reuse, equal one request at a time."""
    backbone = load_backbone(str(tiny("qwen3", tied=True).directory))
    offsets = random_offsets(layout_of(backbone.info, 2).lengths, 2, TieMode.FIXTURE, scale=0.1)
    for block in ("embed_tokens", "lm_head"):
        offsets.blocks[block][:] = 0
    plain = Engine(backbone)
    batch = tokens(6, (2, 40, 3, 25, 40))
    alone = np.concatenate([plain.features([ids], offsets) for ids in batch])
    engine = Engine(backbone, kv_cache_bytes=cache_bytes, max_step_tokens=budget)
    for _ in range(2):
        np.testing.assert_allclose(engine.features(batch, offsets), alone, rtol=0, atol=1e-5)
    assert (engine.stats.cached_tokens > 0) == (cache_bytes > 0)


def test_several_policies_in_one_pass_equal_each_alone(tiny: Callable[..., Tiny]) -> None:
    """Base, two layers, and embedding offsets: all decided together from shared lower layers."""
    backbone = load_backbone(str(tiny("qwen2", tied=True).directory))
    engine = Engine(backbone, kv_cache_bytes=1 << 22, max_step_tokens=23)
    all_offsets = [None]
    for layer, seed in ((2, 1), (2, 2), (0, 3), (3, 4)):
        offsets = random_offsets(layout_of(backbone.info, layer).lengths, layer, TieMode.FIXTURE, seed=seed)
        if seed != 2:
            offsets.blocks["embed_tokens"][:] = 0
        all_offsets.append(offsets)
    variants = [engine.variant(offsets) for offsets in all_offsets]
    batch = tokens(7)
    expected = [Engine(backbone).features(batch, offsets) for offsets in all_offsets]
    for subset in ([0, 1, 2, 3, 4], [3, 1], [2], [4, 0], [0, 1, 2, 3, 4]):
        sequences = [engine.open(ids, [variants[i] for i in subset]) for ids in batch]
        engine.run(sequences)
        for i in subset:
            got = np.stack([s.features[variants[i].key].numpy() for s in sequences])
            np.testing.assert_allclose(got, expected[i], rtol=0, atol=1e-5)


def test_a_shared_pass_costs_less_than_separate_ones(tiny: Callable[..., Tiny], monkeypatch: pytest.MonkeyPatch) -> None:
    """The layers below the adapted one run once for all policies without embedding offsets."""
    from kubefugu_routing.engine import step

    backbone = load_backbone(str(tiny("qwen3", tied=True).directory))
    engine = Engine(backbone)
    offsets = random_offsets(layout_of(backbone.info, 3).lengths, 3, TieMode.FIXTURE)
    for block in ("embed_tokens", "lm_head"):
        offsets.blocks[block][:] = 0
    calls = []
    for name in ("full_layer", "last_layer"):
        original = getattr(step, name)
        monkeypatch.setattr(step, name, lambda *a, _f=original, _n=name, **k: (calls.append(_n), _f(*a, **k))[1])
    sequence = engine.open(tokens(8)[3], [engine.variant(None), engine.variant(offsets)])
    engine.run([sequence])
    assert calls.count("full_layer") == 3
    assert calls.count("last_layer") == 2


def test_bfloat16_keeps_the_decision_where_the_margin_is_wide(tiny: Callable[..., Tiny]) -> None:
    model = tiny("llama", tied=True)
    narrow = Engine(load_backbone(str(model.directory), dtype="bfloat16"))
    batch = tokens(9)
    expected, got = reference_features(model.reference, batch), narrow.features(batch)
    head = np.random.default_rng(3).normal(size=(7, 48))
    logits, logits_bf16 = expected @ head.T, got @ head.T
    spread = logits.max(axis=1) - logits.min(axis=1)
    assert (np.abs(logits_bf16 - logits).max(axis=1) < 0.08 * spread).all()
    top = np.sort(logits, axis=1)
    wide = (top[:, -1] - top[:, -2]) > 0.16 * spread
    assert wide.any()
    assert (logits.argmax(axis=1) == logits_bf16.argmax(axis=1))[wide].all()


def test_a_backbone_that_the_engine_would_compute_wrongly_is_refused(tiny: Callable[..., Tiny]) -> None:
    from kubefugu_core.errors import ArtifactRefusedError

    backbone = load_backbone(str(tiny("qwen3", tied=True).directory))
    backbone.model.rotary_emb.attention_scaling = 1.0
    Engine(backbone)
    for layer in backbone.model.layers:
        layer.self_attn.register_forward_hook(lambda _m, _i, out: (out[0] * 1.5, out[1]))
    with pytest.raises(ArtifactRefusedError, match="does not reproduce"):
        Engine(backbone)
