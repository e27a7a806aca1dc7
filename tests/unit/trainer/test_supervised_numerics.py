from __future__ import annotations

import numpy as np
import pytest
import torch
from support.tables import colour_table

from kubefugu_core.errors import DataError
from kubefugu_trainer.supervised.basis import fit_basis
from kubefugu_trainer.supervised.config import SupervisedConfig
from kubefugu_trainer.supervised.fit import Schedule, Setting, _Training, expected_reward, fit_kl, fit_ridge
from kubefugu_trainer.supervised.search import calibrate, choose, final_head, fit_fold, make_folds
from kubefugu_trainer.supervised.targets import rewards, targets

RNG = np.random.default_rng(0)


def _world(n: int = 500, d: int = 24, workers: int = 4, noise: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """Features with a constant direction and very unequal scales, and scores that a linear head with a bias can tell apart."""
    rng = np.random.default_rng(3)
    latent = rng.normal(size=(n, d - 1))
    mixing = np.linalg.qr(rng.normal(size=(d, d)))[0][: d - 1] * np.geomspace(0.01, 30, d)
    features = latent @ mixing + 50 * rng.normal(size=d)
    best = (latent[:, :workers] + np.linspace(0, 1, workers)).argmax(axis=1)
    scores = np.eye(workers)[best]
    flips = rng.random(scores.shape) < noise
    return features.astype(np.float32), np.where(flips, 1 - scores, scores)


def test_the_basis_standardises_and_folds_back_exactly() -> None:
    features, _ = _world()
    basis = fit_basis(features)
    z = basis.encode(features)
    assert z.shape == (500, 25)
    np.testing.assert_allclose(z[:, :-1].std(axis=0), 1, atol=0.05)
    np.testing.assert_allclose(z[:, -1], 1, atol=0.05)
    assert basis.constant_error < 0.02
    weights = RNG.normal(size=(4, 25))
    logits = features.astype(np.float64) @ basis.fold(weights).astype(np.float64).T
    np.testing.assert_allclose(logits, z @ weights.T, rtol=2e-4, atol=2e-3)


def test_a_constant_coordinate_does_no_harm() -> None:
    features, _ = _world()
    features[:, 3] = 7.0
    features[:, 5] = 0.0
    assert np.isfinite(fit_basis(features).matrix).all()


def test_targets_are_the_softmax_of_rewards() -> None:
    reward = np.array([[1.0, 0.0, 1.0], [0.2, 0.4, 0.0]])
    expected = np.exp(reward / 0.3)
    np.testing.assert_allclose(targets(reward, 0.3), expected / expected.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(targets(reward, 1e-3)[0], [0.5, 0, 0.5], atol=1e-12)


def test_costs_are_taken_off_in_units_of_the_dearest_worker() -> None:
    table = colour_table(30, costs=True)
    reward = rewards(table, cost_weight=0.5)
    np.testing.assert_allclose(table.scores - reward, np.tile([0.125, 0.25, 0.5], (30, 1)))
    assert rewards(table, cost_weight=0) is table.scores
    with pytest.raises(DataError, match="--cost-weight needs"):
        rewards(colour_table(30), cost_weight=0.5)


def test_kl_reaches_the_optimum_that_plain_gradient_descent_finds() -> None:
    features, scores = _world(n=200)
    z = fit_basis(features).encode(features)
    setting = Setting(tau=0.3, penalty=0.05)
    p = targets(scores, setting.tau)
    training = _Training(z, [p], [setting], Schedule(epochs=600, batch_rows=200, learning_rate=0.02))
    for _ in range(600):
        training.epoch(np.arange(200))

    weights = torch.zeros(4, z.shape[1], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=500, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = -(torch.from_numpy(p) * torch.log_softmax(torch.from_numpy(z) @ weights.T, dim=-1)).sum(dim=-1).mean()
        loss = loss + 0.5 * setting.penalty * (weights[:, :-1] ** 2).sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    reference = torch.softmax(torch.from_numpy(z) @ weights.detach().T, dim=-1).numpy()
    scaled = z @ training.weights.detach()[0].numpy().astype(np.float64).T
    policy = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    policy /= policy.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(policy, reference, atol=2e-3)


def test_settings_trained_together_equal_settings_trained_alone() -> None:
    features, scores = _world(n=120)
    z = fit_basis(features).encode(features)
    settings = [Setting(0.1, 1e-3), Setting(1.0, 0.1)]
    schedule = Schedule(epochs=4, patience=10)
    both = fit_kl(
        (z, scores), (z, scores), [targets(scores, s.tau) for s in settings], settings, schedule=schedule,
        rng=np.random.default_rng(5),
    )  # fmt: skip
    for i, setting in enumerate(settings):
        alone = fit_kl(
            (z, scores), (z, scores), [targets(scores, setting.tau)], [setting], schedule=schedule, rng=np.random.default_rng(5)
        )
        np.testing.assert_allclose(both.weights[i], alone.weights[0], rtol=1e-4, atol=1e-5)
        assert both.epochs[i] == alone.epochs[0]


def test_the_best_epoch_is_kept_and_fits_stop_early() -> None:
    features, scores = _world(n=150, noise=0.4)
    z = fit_basis(features).encode(features)
    valid = (z[:50], scores[:50])
    schedule = Schedule(epochs=60, patience=3, learning_rate=0.05)
    fitted = fit_kl(
        (z[50:], scores[50:]), valid, [targets(scores[50:], 0.1)], [Setting(0.1, 0.0)], schedule=schedule,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    assert len(fitted.curves) < 60
    assert fitted.validation[0] == pytest.approx(fitted.curves[:, 0].max(), abs=1e-5)
    again = expected_reward(torch.from_numpy(fitted.weights).float(), *(torch.from_numpy(a).float() for a in valid))
    assert float(again[0]) == pytest.approx(fitted.validation[0], abs=1e-5)


def test_ridge_solves_its_normal_equations() -> None:
    features, scores = _world(n=300)
    z = fit_basis(features).encode(features)
    (weights,) = fit_ridge(z, scores, [0.2])
    centred = scores - scores.mean(axis=1, keepdims=True)
    mask = np.ones(z.shape[1])
    mask[-1] = 0
    gradient = (z @ weights.T - centred).T @ z / len(z) + 0.2 * weights * mask
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_folds_cover_all_rows_once_keep_equal_texts_together_and_spread_labels() -> None:
    texts = [f"t{i // 2}" for i in range(200)]
    groups = ["a" if i < 150 else "b" for i in range(200)]
    folds = make_folds(texts, groups, folds=5, rng=np.random.default_rng(0))
    assert sorted(np.concatenate(folds).tolist()) == list(range(200))
    for fold in folds:
        assert all((i ^ 1) in set(fold.tolist()) for i in fold.tolist())
        assert sum(groups[i] == "b" for i in fold) == 10


def test_cross_validation_finds_a_head_far_above_the_best_single_worker() -> None:
    features, scores = _world(n=900)
    config = SupervisedConfig(data="", backbone="", epochs=15, taus=(0.1, 1.0), penalties=(1e-3, 1.0), folds=3)
    train = np.arange(600)
    folds = [
        fit_fold(features[train], scores[train], valid, config, rng=np.random.default_rng(i))
        for i, valid in enumerate(make_folds(range(600), None, folds=3, rng=np.random.default_rng(0)))
    ]
    choice = choose(features[train], scores[train], folds, config)
    head = final_head(features[train], folds, choice)
    assert head.shape == (4, 24)
    assert head.dtype == np.float32
    picked = (features[600:] @ head.T).argmax(axis=1)
    got = scores[600:][np.arange(300), picked].mean()
    assert got > 0.8 * scores[600:].max(axis=1).mean()
    assert got > scores[600:].mean(axis=0).max() + 0.3
    assert choice.reward == max(float(row["reward"]) for row in choice.table)
    assert {row["kind"] for row in choice.table} == {"kl", "ridge", "blend"}


def test_calibration_finds_the_scale_that_the_logits_lack() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(20_000, 3)) * 2
    policy = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    best = np.array([rng.choice(3, p=row) for row in policy])
    assert calibrate(logits / 5, np.eye(3)[best]) == pytest.approx(5, rel=0.05)
