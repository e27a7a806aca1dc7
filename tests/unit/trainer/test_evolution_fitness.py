"""Fast fitness against naive re-materialisation, and the pure parts of fitness."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.backbones import adapt_reference, make_tiny, random_offsets, reference_features

from kubefugu_core.errors import DataError
from kubefugu_routing.backbone import load_backbone
from kubefugu_routing.engine import Engine
from kubefugu_routing.svf import BLOCKS, LAYER_BLOCKS, TieMode, layout_of
from kubefugu_routing.svf.factors import make_bundle, save_bundle
from kubefugu_trainer.evolution.choice import Draw, Measured, choose, draw_generation, entropy, measure
from kubefugu_trainer.evolution.config import EvolutionConfig
from kubefugu_trainer.evolution.fitness import ExactLogits, Fitness, HeadLogits, LayerLogits, _groups, _steps, make_fitness
from kubefugu_trainer.evolution.problem import Problem
from kubefugu_trainer.evolution.vector import VectorLayout, feature_scale, layout_for

WORKERS = 3
NO_NOISE = np.zeros((0, 0))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBEFUGU_HOME", str(tmp_path / "home"))
    torch.set_num_threads(1)


def everyone(rows: list[int]) -> Draw:
    return Draw(np.array(rows), np.ones((len(rows), WORKERS), dtype=bool), NO_NOISE)


def offsets_problem(tmp_path: Path, kind: str, moves: str) -> tuple[Any, Engine, Problem]:
    tiny = make_tiny(tmp_path / "model", kind, tied=True)
    backbone = load_backbone(str(tiny.directory))
    info = backbone.info
    svf = layout_of(info)
    rng = np.random.default_rng(3)
    tokens = tuple(rng.integers(0, info.vocab_size, size=n).astype(np.int32) for n in (2, 9, 17, 9, 30))
    bundle = tmp_path / "bundle.safetensors"
    save_bundle(bundle, make_bundle(backbone, layer=svf.layer, embedding=moves == "all"))
    problem = Problem(
        scores=rng.random((5, WORKERS)),
        costs=None,
        layout=layout_for(moves, svf, rows=WORKERS, width=info.hidden_size, tied=True),
        entropy_weight=0.15,
        cost_weight=0.0,
        backbone=str(tiny.directory),
        backbone_revision=info.revision,
        layer=svf.layer,
        tie_mode="composed",
        tokens=tokens,
        bundle=bundle.read_bytes(),
        threads=1,
    )
    return tiny, Engine(backbone), problem


@pytest.mark.parametrize("kind", ["qwen3", "qwen2", "llama"])
@pytest.mark.parametrize("moves", ["layer", "all"])
def test_logits_agree_with_naive_re_materialisation(tmp_path: Path, kind: str, moves: str) -> None:
    tiny, engine, problem = offsets_problem(tmp_path, kind, moves)
    fitness = make_fitness(problem, lambda: engine)
    assert isinstance(fitness.logits, LayerLogits if moves == "layer" else ExactLogits)
    rows = np.array([4, 0, 2, 1, 3])
    rng = np.random.default_rng(5)
    for seed in range(3):
        moved = random_offsets(layout_of(engine.backbone.info).lengths, problem.layer, TieMode.COMPOSED, seed=seed)
        blocks = {name: moved.blocks[name] if name in problem.layout.blocks else 0 * moved.blocks[name] for name in BLOCKS}
        head = rng.normal(size=(WORKERS, problem.layout.width)).astype(np.float32) * 0.3
        reference = adapt_reference(tiny, type(moved)(moved.layer, moved.tie_mode, blocks))
        naive = reference_features(reference, [problem.tokens[row].tolist() for row in rows]) @ head.astype(np.float64).T
        fast = fitness.logits.logits(problem.layout.join(blocks, head), rows)
        assert np.abs(naive).max() > 0.5
        np.testing.assert_allclose(fast, naive, atol=1e-4, rtol=0)
        margin = np.sort(naive, axis=1)[:, -1] - np.sort(naive, axis=1)[:, -2]
        clear = margin > 2e-4
        assert clear.any()
        np.testing.assert_array_equal(fast.argmax(axis=1)[clear], naive.argmax(axis=1)[clear])


def test_both_forms_of_a_matrix_agree(tmp_path: Path) -> None:
    """Few tokens: factors one after the other; many: the matrix is multiplied out."""
    _, engine, problem = offsets_problem(tmp_path, "qwen3", "layer")
    logits = make_fitness(problem, lambda: engine).logits
    assert isinstance(logits, LayerLogits)
    blocks, head = problem.layout.split(np.random.default_rng(0).normal(size=problem.layout.total) * 0.2)
    few, many = logits._adapted(blocks, tokens=1), logits._adapted(blocks, tokens=10_000)
    assert not few[0]
    assert set(few[1]) == set(many[0]) == set(problem.layout.blocks)
    states = engine.entering_states([problem.tokens[4].tolist()], problem.layer)
    one, other = (
        engine.features_from(states, problem.layer, whole, factored=factored).numpy() @ head.T
        for whole, factored in (few, many)
    )
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_offsets_change_the_logits_and_states_are_kept(tmp_path: Path) -> None:
    _, engine, problem = offsets_problem(tmp_path, "qwen3", "layer")
    logits = make_fitness(problem, lambda: engine).logits
    assert isinstance(logits, LayerLogits)
    head = np.ones((WORKERS, problem.layout.width))
    still = logits.logits(problem.layout.join({}, head), np.array([1, 2]))
    assert logits.cached_rows == 5  # neighbours come along
    calls = []
    original = engine.entering_states
    engine.entering_states = lambda *args: (calls.append(args), original(*args))[1]  # type: ignore[method-assign]
    moved = {name: np.full(length, 0.2) * np.arange(length) / length for name, length in problem.layout.blocks.items()}
    assert np.abs(logits.logits(problem.layout.join(moved, head), np.array([2, 1])) - still[::-1]).max() > 1e-3
    logits.logits(problem.layout.join(moved, head), np.array([0]))
    assert calls == []
    fresh = LayerLogits(problem, engine, logits._bundle)
    fresh.logits(problem.layout.join(moved, head), np.array([0, 4]))
    assert len(calls) == 1


def test_what_is_computed_together_depends_on_the_questions_alone() -> None:
    assert _steps([]) == []
    assert _steps([2000]) == [(0, 1)]
    assert _steps([500, 500, 100, 2000, 10, 10]) == [(0, 2), (2, 3), (3, 4), (4, 6)]
    assert _steps([10] * 20, most=8) == [(0, 8), (8, 16), (16, 20)]
    together = _groups([10] * 10, 4, 1000)
    assert together == [range(8)] * 8 + [range(8, 10)] * 2
    assert _groups([10] * 10, 4, 399) == [range(row, row + 1) for row in range(10)]  # they would push each other out


def test_an_evaluator_of_another_process_gets_the_same_numbers(tmp_path: Path) -> None:
    _, engine, problem = offsets_problem(tmp_path, "qwen3", "layer")
    x = np.random.default_rng(0).normal(size=problem.layout.total) * 0.1
    draw = everyone([4, 1, 2])
    sent = make_fitness(Problem.from_bytes(problem.to_bytes()))  # loads the backbone itself
    here = make_fitness(problem, lambda: engine)
    here.logits.logits(x, np.array([0, 1]))  # another order of questions before must not matter
    np.testing.assert_array_equal(sent.logits.logits(x, draw.rows), here.logits.logits(x, draw.rows))
    assert sent.measure(x, draw) == here.measure(x, draw)


def test_a_small_cache_gives_the_same_figures(tmp_path: Path) -> None:
    from kubefugu_trainer.evolution.fitness import _bundle

    _, engine, problem = offsets_problem(tmp_path, "qwen3", "layer")
    bundle = _bundle(problem.bundle)
    small = LayerLogits(problem, engine, bundle, cache_bytes=1)
    large = LayerLogits(problem, engine, bundle)
    x = np.random.default_rng(0).normal(size=problem.layout.total) * 0.1
    rows = np.array([0, 1, 2, 3, 4])
    found = small.logits(x, rows)
    np.testing.assert_allclose(found, large.logits(x, rows), atol=1e-5)
    np.testing.assert_array_equal(found, small.logits(x, rows))
    assert small.cached_rows == 1


def head_problem(rng: np.random.Generator) -> Problem:
    layout = VectorLayout({}, WORKERS, 4)
    return Problem(
        scores=rng.random((6, WORKERS)), costs=rng.random((6, WORKERS)), layout=layout, entropy_weight=0.15, cost_weight=0.5,
        backbone="", backbone_revision="", layer=0, tie_mode="author", features=rng.normal(size=(6, 4)).astype(np.float32),
    )  # fmt: skip


def test_head_only_fitness_by_hand() -> None:
    problem = head_problem(np.random.default_rng(0))
    x = np.random.default_rng(1).normal(size=12)
    assert problem.features is not None
    assert problem.costs is not None
    got = Fitness(problem, HeadLogits(problem)).measure(x, everyone([5, 0, 3]))
    picked = [int((x.reshape(3, 4).astype(np.float32) @ problem.features[row]).argmax()) for row in (5, 0, 3)]
    score = np.mean([problem.scores[row, p] for row, p in zip((5, 0, 3), picked, strict=True)])
    cost = np.mean([problem.costs[row, p] for row, p in zip((5, 0, 3), picked, strict=True)])
    shares = [picked.count(worker) / 3 for worker in range(WORKERS)]
    spread = -sum(p * math.log(p) for p in shares if p)
    assert got.shares == pytest.approx(shares)
    assert got.fitness == pytest.approx(score + 0.15 * spread - 0.5 * cost, abs=1e-12)
    with pytest.raises(DataError, match="outside"):
        Fitness(problem, HeadLogits(problem)).measure(x, everyone([6]))
    with pytest.raises(DataError, match="11"):
        problem.layout.split(x[:11])


def test_choice_respects_subsets_and_noise() -> None:
    logits = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    allowed = np.array([[True, True, True], [False, True, True]])
    assert choose(logits, Draw(np.arange(2), allowed, NO_NOISE)).tolist() == [0, 1]
    noise = np.array([[0.0, 0.0, 5.0], [9.0, 0.0, 0.0]])
    assert choose(logits, Draw(np.arange(2), allowed, noise)).tolist() == [2, 1]


def test_sampling_follows_the_softmax() -> None:
    rng = np.random.default_rng(0)
    config = EvolutionConfig(batch=0, sample=True)
    draw = draw_generation(rng, config, number=0, train=np.arange(20_000), workers=3, candidates=4).draw(0)
    logits = np.log(np.tile([0.5, 0.3, 0.2], (20_000, 1)))
    shares = np.bincount(choose(logits, draw), minlength=3) / 20_000
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.2], atol=0.015)


def test_draws_of_a_generation() -> None:
    train = np.array([2, 3, 5, 7, 11, 13])
    config = EvolutionConfig(batch=4, subset=2)
    rng = np.random.default_rng(0)
    first = draw_generation(rng, config, number=0, train=train, workers=3, candidates=5)
    second = draw_generation(rng, config, number=1, train=train, workers=3, candidates=5)
    assert first.draw(0) is first.draw(4)
    assert set(first.draw(0).rows) <= set(train.tolist())
    assert len(set(first.draw(0).rows)) == 4
    assert (first.draw(0).allowed.sum(axis=1) == 2).all()
    assert not np.array_equal(first.draw(0).allowed, second.draw(0).allowed)
    apart = EvolutionConfig(batch=4, subset=2, common_random_numbers=False)
    own = draw_generation(rng, apart, number=0, train=train, workers=3, candidates=5)
    assert len({tuple(own.draw(i).rows) + tuple(own.draw(i).allowed.ravel()) for i in range(5)}) == 5


def test_measured_results_are_checked() -> None:
    good = measure(np.array([0, 2]), np.ones((2, 3)), None, entropy_weight=0.15, cost_weight=1.0)
    assert Measured.from_json(good.to_json(), workers=3) == good
    assert good.fitness == 1 + 0.15 * math.log(2)
    assert entropy(np.array([1.0, 0.0])) == 0
    for poisoned in (
        {**good.to_json(), "fitness": float("nan")},
        {**good.to_json(), "shares": [0.5, 0.5]},
        {"fitness": 1.0},
        [1, 2],
        None,
    ):
        with pytest.raises(DataError):
            Measured.from_json(poisoned, workers=3)


def test_problem_refuses_what_is_none() -> None:
    with pytest.raises(DataError):
        Problem.from_bytes(b"not an archive")


def test_layouts_and_units() -> None:
    from kubefugu_routing.svf import SvfLayout

    svf = SvfLayout(layer=2, lengths=dict.fromkeys(BLOCKS, 4))
    assert layout_for("none", svf, rows=2, width=8, tied=True).total == 16
    layer = layout_for("layer", svf, rows=2, width=8, tied=True)
    assert tuple(layer.blocks) == LAYER_BLOCKS
    assert tuple(layout_for("all", svf, rows=2, width=8, tied=True).blocks) == BLOCKS
    assert "lm_head" not in layout_for("all", svf, rows=2, width=8, tied=False).blocks
    x = np.arange(float(layer.total))
    blocks, head = layer.split(x)
    np.testing.assert_array_equal(layer.join(blocks, head), x)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(500, 8)) * 10.0 ** np.arange(8)
    start = rng.normal(size=(2, 8)) * 10.0 ** -np.arange(8.0)
    scale = feature_scale(layer, features, start)
    step = rng.normal(size=(400, layer.total)) * scale
    noise = np.stack([features @ s[layer.num_offsets :].reshape(2, 8).T for s in step])
    logits = features @ start.T
    spread = np.sqrt(np.mean((logits - logits.mean(axis=1, keepdims=True)) ** 2))
    # the largest columns are in proportion; those a thousand times smaller than the largest are bounded
    assert 0.5 < noise.std() / spread < 1.2
