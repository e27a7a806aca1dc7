"""The padded pass that CUDA graphs record, run here without recording: equal to the ordinary pass, for every variant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.backbones import Tiny, random_offsets

from kubefugu_routing.backbone import load_backbone
from kubefugu_routing.engine import Engine
from kubefugu_routing.engine import graphs as module
from kubefugu_routing.engine.graphs import GraphCache, PaddedPass
from kubefugu_routing.svf import TieMode, layout_of


def tokens(count: int, seed: int) -> list[int]:
    return [int(t) for t in np.random.default_rng(seed).integers(0, 512, size=count)]


def with_graphs(engine: Engine, record: Callable[[PaddedPass], Callable[[], object]]) -> Engine:
    engine.graphs = GraphCache(engine._params, engine._rotary, record=record)
    return engine


@pytest.fixture
def faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of two timings is the graph's: it is told to be the faster one."""
    original, calls = module._timed, iter(range(10**6))

    def timed(call: Any, device: Any) -> Any:
        return float(next(calls)), original(call, device)[1]

    monkeypatch.setattr(module, "_timed", timed)


@pytest.mark.usefixtures("faster")
@pytest.mark.parametrize("kind", ["qwen3", "llama"])
def test_a_recorded_pass_equals_the_ordinary_one(tiny: Callable[..., Tiny], kind: str) -> None:
    backbone = load_backbone(str(tiny(kind, tied=True).directory))
    recorded: list[PaddedPass] = []

    def record(padded: PaddedPass) -> Callable[[], object]:
        recorded.append(padded)
        return padded

    plain = Engine(backbone, kv_cache_bytes=1 << 22)
    graphed = with_graphs(Engine(backbone, kv_cache_bytes=1 << 22), record)
    for layer, embedding in ((None, False), (2, False), (3, False), (2, True)):
        offsets = None
        if layer is not None:
            offsets = random_offsets(layout_of(backbone.info, layer).lengths, layer, TieMode.AUTHOR, seed=layer)
            if not embedding:
                offsets.blocks["lm_head"][:] = 0
        variant_plain, variant_graphed = plain.variant(offsets), graphed.variant(offsets)
        before = len(recorded)
        for seed, length in enumerate((2, 30, 65, 66, 200, 1500)):
            ids = tokens(length, 100 * (layer or 0) + seed)
            expected = plain.features_of([ids], variant_plain)
            np.testing.assert_allclose(graphed.features_of([ids], variant_graphed), expected, rtol=0, atol=1e-5)
            # A later turn goes on from what the recorded pass left in the prefix cache.
            later = [*ids, *tokens(20, seed)]
            np.testing.assert_allclose(
                graphed.features_of([later], variant_graphed), plain.features_of([later], variant_plain), rtol=0, atol=1e-5
            )
        assert len(recorded) - before == 3, "64, 128 and 256; 1,500 tokens take the ordinary pass"
    assert graphed.stats.cached_tokens == plain.stats.cached_tokens


@pytest.mark.usefixtures("faster")
def test_a_pass_that_differs_or_cannot_be_recorded_is_not_used(tiny: Callable[..., Tiny]) -> None:
    backbone = load_backbone(str(tiny("qwen3", tied=True).directory))
    ids = tokens(40, 1)
    expected = Engine(backbone).features([ids])

    def wrong(padded: PaddedPass) -> Callable[[], object]:
        def replay() -> None:
            padded()
            padded.feature = padded.feature * 1.01

        return replay

    def impossible(_: PaddedPass) -> Callable[[], object]:
        raise RuntimeError("operation not permitted when stream is capturing")

    for record in (wrong, impossible):
        engine = with_graphs(Engine(backbone), record)
        np.testing.assert_allclose(engine.features([ids]), expected, rtol=0, atol=1e-6)
        assert list(engine.graphs._kept.values()) == [None]  # type: ignore[union-attr]


def test_a_slower_pass_is_not_kept(tiny: Callable[..., Tiny], monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = module._timed, iter(range(10**6, 0, -1))
    monkeypatch.setattr(module, "_timed", lambda call, device: (float(next(calls)), original(call, device)[1]))
    engine = with_graphs(Engine(load_backbone(str(tiny("qwen3", tied=True).directory))), lambda padded: padded)
    engine.features([tokens(40, 1)])
    assert list(engine.graphs._kept.values()) == [None]  # type: ignore[union-attr]
