"""sep-CMA-ES against pycma and against its own equations; exact resume."""

from __future__ import annotations

import io
import warnings
from dataclasses import replace

import cma
import numpy as np
import pytest
from cma.sampler import GaussDiagonalSampler

from kubefugu_core.errors import DataError
from kubefugu_trainer.evolution.sepcma import SepCma, State, Strategy


def ellipsoid(x: np.ndarray) -> np.ndarray:
    scale = 10.0 ** (4 * np.arange(x.shape[1]) / (x.shape[1] - 1))
    return (scale * (x - 1) ** 2).sum(1)


def test_constants_of_the_papers_setting() -> None:
    strategy = Strategy.default(19456)
    assert (strategy.population, strategy.parents) == (33, 16)
    assert strategy.mu_eff == pytest.approx(9.437, abs=5e-4)
    assert strategy.weights[0] == pytest.approx(0.1933, abs=5e-5)


@pytest.mark.parametrize("dimension", [5, 12, 60])
def test_mean_and_step_size_equal_pycmas(dimension: int) -> None:
    """Recombination and cumulative step-size adaptation, the covariance held; the same candidates go to both."""
    strategy = replace(Strategy.default(dimension), c_1=0.0, c_mu=0.0)
    ours = SepCma(np.full(dimension, 3.0), 0.5, generator=np.random.default_rng(7), strategy=strategy)
    options = {"CMA_diagonal": True, "CMA_active": False, "popsize": strategy.population, "verbose": -9, "tolfun": 0}
    csa = cma.sigma_adaptation.CMAAdaptSigmaCSA
    theirs = cma.CMAEvolutionStrategy([3.0] * dimension, 0.5, options | {"AdaptSigma": csa, "seed": 1})
    # pycma's own constants have moved on (asymmetric damping, other learning rates): it gets the textbook's.
    theirs.sp.c1_sep = theirs.sp.cmu_sep = 0.0
    theirs.adapt_sigma.initialize(theirs)
    theirs.adapt_sigma.cs, theirs.adapt_sigma.damps = strategy.c_sigma, strategy.d_sigma
    theirs.adapt_sigma.dampdown_fac = 1.0
    for _ in range(25):
        population = ours.ask()
        losses = ellipsoid(population)
        theirs.ask()
        theirs.tell(list(population), list(losses))
        ours.tell(population, losses)
        np.testing.assert_allclose(ours.mean, theirs.mean, rtol=1e-9)
        np.testing.assert_allclose(ours.sigma, theirs.sigma, rtol=1e-4)  # pycma approximates E||N(0, I)|| to 5e-5


@pytest.mark.parametrize("dimension", [2, 12, 60])
def test_variances_equal_pycmas_diagonal_sampler(dimension: int) -> None:
    """Each generation's rank-one and rank-mu update of the diagonal, by pycma's textbook sampler."""
    strategy = Strategy.default(dimension)
    ours = SepCma(np.full(dimension, 3.0), 0.5, generator=np.random.default_rng(7))
    for _ in range(25):
        before = ours.state()
        population = ours.ask()
        losses = ellipsoid(population)
        ours.tell(population, losses)
        after = ours.state()
        if not after.path_c.any() or np.allclose(after.path_c, (1 - strategy.c_c) * before.path_c):
            continue  # a stalled generation, whose decay pycma applies elsewhere
        sampler = GaussDiagonalSampler(dimension)
        sampler.C = before.variances.copy()
        best = population[np.argsort(losses)[: strategy.parents]]
        steps = (best - before.mean) / before.sigma
        sampler.update([after.path_c, *steps], [strategy.c_1, *(strategy.c_mu * strategy.weights)])
        np.testing.assert_allclose(after.variances, sampler.C, rtol=1e-12)


def test_minimises_an_ill_conditioned_separable_function() -> None:
    optimiser = SepCma(np.full(20, 3.0), 1.0, generator=np.random.default_rng(1))
    for _ in range(600):
        population = optimiser.ask()
        optimiser.tell(population, ellipsoid(population))
    assert ellipsoid(optimiser.mean[None])[0] < 1e-8


def _run(optimiser: SepCma, generations: int) -> list[np.ndarray]:
    trajectory = []
    for _ in range(generations):
        population = optimiser.ask()
        optimiser.tell(population, ellipsoid(population))
        trajectory.append(np.concatenate([optimiser.mean, [optimiser.sigma]]))
    return trajectory


def _through_a_file(state: State) -> dict[str, np.ndarray]:
    buffer = io.BytesIO()
    np.savez(buffer, **state.to_arrays())  # type: ignore[arg-type]
    buffer.seek(0)
    return dict(np.load(buffer, allow_pickle=False))


@pytest.mark.parametrize("cut", [1, 4, 11])
def test_resumes_bit_for_bit(cut: int) -> None:
    whole = _run(SepCma(np.zeros(8), 0.3, generator=np.random.default_rng(5)), 15)
    first = SepCma(np.zeros(8), 0.3, generator=np.random.default_rng(5))
    _run(first, cut)
    rest = _run(SepCma.resume(State.from_arrays(_through_a_file(first.state()))), 15 - cut)
    assert np.array_equal(np.stack(whole[cut:]), np.stack(rest))


def test_a_checkpoint_without_its_generator_is_refused_and_would_diverge() -> None:
    first = SepCma(np.zeros(8), 0.3, generator=np.random.default_rng(5))
    _run(first, 3)
    arrays = _through_a_file(first.state())
    del arrays["generator"]
    with pytest.raises(DataError, match="generator"):
        State.from_arrays(arrays)
    forged = first.state()
    forged.generator = dict(np.random.default_rng(6).bit_generator.state)
    assert not np.array_equal(SepCma.resume(forged).ask(), SepCma.resume(first.state()).ask())


def test_wrong_input_is_told() -> None:
    optimiser = SepCma(np.zeros(3), 0.3, generator=np.random.default_rng(0))
    population = optimiser.ask()
    losses = ellipsoid(population)
    losses[2] = np.nan
    with pytest.raises(DataError, match=r"\[2\]"):
        optimiser.tell(population, losses)
    with pytest.raises(DataError, match="candidates"):
        optimiser.tell(population[:-1], losses[:-1])
    with pytest.raises(DataError, match="sigma"):
        SepCma(np.zeros(3), 0.0, generator=np.random.default_rng(0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match="finite"):
            SepCma(np.array([0.0, np.inf]), 0.1, generator=np.random.default_rng(0))
