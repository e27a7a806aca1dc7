from __future__ import annotations

import numpy as np
import pytest
import torch
from support.tables import colour_table

from kubefugu_core.errors import DataError
from kubefugu_trainer.supervised.basis import fit_basis
from kubefugu_trainer.supervised.config import SupervisedConfig
from kubefugu_trainer.supervised.fit import (
    Schedule,
    Setting,
    Sharpness,
    _Training,
    expected_reward,
    fit_kl,
    fit_reward,
    fit_ridge,
)
from kubefugu_trainer.supervised.folds import LeastSquares, Problem, fit_kl_fold, fit_least_squares, fit_reward_fold, make_folds
from kubefugu_trainer.supervised.search import Choice, calibrate, choose, choose_mix, final_head
from kubefugu_trainer.supervised.targets import clusters, kind_means, rewards, targets

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
    covariance = np.cov(z[:, :-1].T, bias=True)
    assert np.trace(covariance) == pytest.approx(24, rel=0.05)  # each feature counts once
    np.testing.assert_allclose(covariance - np.diag(np.diag(covariance)), 0, atol=0.05)  # principal axes
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


def test_expected_reward_finds_the_border_that_least_squares_misses() -> None:
    """Far outliers bend a least-squares line, but change no choice."""
    rng = np.random.default_rng(2)
    position = rng.exponential(size=800) ** 2
    z = np.stack([position, np.ones(800)], axis=1)
    lead = np.sign(position - 0.5)
    reward = 0.5 + 0.5 * np.stack([lead, -lead], axis=1)
    (start,) = fit_ridge(z, [reward], [1e-3])
    settings = [Sharpness(3.0, 1e-4), Sharpness(3.0, 1e3)]
    schedule = Schedule(epochs=60, patience=60, learning_rate=0.05)
    fitted = fit_reward((z, reward), (z, reward), start[0], settings, schedule=schedule, rng=np.random.default_rng(0))
    got = [reward[np.arange(800), (z @ weights.T).argmax(axis=1)].mean() for weights in (start[0], *fitted.weights)]
    assert got[0] < 0.9
    assert got[1] > 0.97
    held = fitted.weights[1][:, 0] / start[0][:, 0]  # by its penalty, at the start scaled to the wanted spread
    np.testing.assert_allclose(held, held[0], rtol=1e-2)


def test_ridge_solves_its_normal_equations_for_several_targets_and_penalties() -> None:
    features, scores = _world(n=300)
    z = fit_basis(features).encode(features)
    mask = np.ones(z.shape[1])
    mask[-1] = 0
    other = scores[:, ::-1] ** 2
    for target, path in zip((scores, other), fit_ridge(z, [scores, other], [0.2, 3.0]), strict=True):
        centred = target - target.mean(axis=1, keepdims=True)
        for penalty, weights in zip((0.2, 3.0), path, strict=True):
            gradient = (z @ weights.T - centred).T @ z / len(z) + penalty * weights * mask
            np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_shifts_make_their_directions_dear() -> None:
    features, _ = _world(n=400, d=12)
    direction = np.linalg.qr(RNG.normal(size=(12, 12)))[0][0] * 3
    shifts = np.outer(RNG.normal(size=50), direction)
    plain, steady = fit_basis(features), fit_basis(features, shifts=shifts, strength=30.0)
    moved = [np.linalg.norm((basis.matrix @ direction)[:-1]) for basis in (plain, steady)]
    assert moved[1] < 0.3 * moved[0]
    np.testing.assert_allclose(plain.constant, steady.constant)


def test_means_of_kinds_are_drawn_to_the_overall_mean_where_a_kind_is_rare() -> None:
    reward = np.array([[1.0, 0.0]] * 90 + [[0.0, 1.0]] * 10)
    means = kind_means(reward, ["common"] * 90 + ["rare"] * 10)
    np.testing.assert_allclose(means[0], [99 / 100, 1 / 100])
    np.testing.assert_allclose(means[-1], [9 / 20, 11 / 20])


def test_clusters_find_groups_of_features() -> None:
    centres = RNG.normal(size=(2, 10)) * 5
    kinds = np.arange(300) % 2
    found = np.array(clusters(centres[kinds] + RNG.normal(size=(300, 10)), seed=0))
    pure = [max(np.mean(kinds[found == label]), 1 - np.mean(kinds[found == label])) for label in set(found.tolist())]
    assert min(pure) == 1.0


def test_small_tables_get_smaller_batches_and_as_many_steps() -> None:
    schedule = Schedule(epochs=40, batch_rows=128, patience=6, least_steps=600)
    assert schedule.for_rows(5000) == schedule
    small = schedule.for_rows(80)
    assert (small.batch_rows, small.epochs, small.patience) == (10, 75, 12)


def test_folds_cover_all_rows_once_keep_equal_texts_together_and_spread_labels() -> None:
    texts = [f"t{i // 2}" for i in range(200)]
    groups = ["a" if i < 150 else "b" for i in range(200)]
    folds = make_folds(texts, groups, folds=5, rng=np.random.default_rng(0))
    assert sorted(np.concatenate(folds).tolist()) == list(range(200))
    for fold in folds:
        assert all((i ^ 1) in set(fold.tolist()) for i in fold.tolist())
        assert sum(groups[i] == "b" for i in fold) == 10


def _problem(features: np.ndarray, scores: np.ndarray, groups: tuple[str, ...] | None = None, shifted: int = 0) -> Problem:
    rng = np.random.default_rng(8)
    shifts = 0.05 * rng.normal(size=(shifted, features.shape[1])) * features.std(axis=0)
    return Problem(
        features=features,
        reward=scores,
        groups=groups,
        shifted_rows=np.arange(shifted),
        shifts=shifts.astype(np.float32),
        seed=1,
    )


def _fitted(problem: Problem, config: SupervisedConfig) -> tuple[np.ndarray, Choice, list[LeastSquares]]:
    parts = make_folds(range(len(problem.reward)), problem.groups, folds=config.folds, rng=np.random.default_rng(0))
    strengths = config.strengths if len(problem.shifted_rows) else (0.0,)
    found = {s: [fit_least_squares(problem, valid, s) for valid in parts] for s in strengths}
    mix, table, tried = choose_mix(problem, found)
    kl = [fit_kl_fold(problem, valid, mix, config, rng=np.random.default_rng(i)) for i, valid in enumerate(parts)]
    direct = [fit_reward_fold(problem, valid, mix, config, rng=np.random.default_rng(i)) for i, valid in enumerate(parts)]
    choice = choose(problem, mix, found[mix.strength], kl, direct, config, table=table, tried=tried)
    return final_head(problem, found[mix.strength], kl, direct, choice), choice, found[mix.strength]


CONFIG = SupervisedConfig(data="", backbone="", epochs=15, taus=(0.1, 1.0), penalties=(1e-3, 1e-1), folds=3)


@pytest.mark.parametrize("shifted", [0, 60])
def test_cross_validation_finds_a_head_far_above_the_best_single_worker(shifted: int) -> None:
    features, scores = _world(n=900)
    head, choice, _ = _fitted(_problem(features[:600], scores[:600], shifted=shifted), CONFIG)
    assert head.shape == (4, 24)
    assert head.dtype == np.float32
    got = scores[600:][np.arange(300), (features[600:] @ head.T).argmax(axis=1)].mean()
    assert got > 0.88 * scores[600:].max(axis=1).mean()  # each score is flipped with a chance of 5 %
    assert got > scores[600:].mean(axis=0).max() + 0.3
    assert choice.reward >= choice.single_reward + 0.3
    assert {"kl", "ridge", "mix", "blend", "reward", "margin", "best single"} <= {str(row["kind"]) for row in choice.table}
    assert (choice.same_route is None) == (shifted == 0)


def test_kl_is_trained_to_the_end_on_a_small_table() -> None:
    """A configured number of epochs that is far too few on a small table must not be felt."""
    features, scores = _world(n=700)
    problem = _problem(features[:150], scores[:150])
    parts = make_folds(range(150), None, folds=3, rng=np.random.default_rng(0))
    mix, _, _ = choose_mix(problem, {0.0: [fit_least_squares(problem, valid, 0.0) for valid in parts]})
    rewards = []
    for epochs in (5, 600):
        config = CONFIG.model_copy(update={"epochs": epochs, "penalties": (1e-2,)})
        kl = [fit_kl_fold(problem, valid, mix, config, rng=np.random.default_rng(i)) for i, valid in enumerate(parts)]
        heads = np.mean([fold.heads for fold in kl], axis=0)
        rewards.append([scores[150:][np.arange(550), (features[150:] @ head.T).argmax(axis=1)].mean() for head in heads])
    np.testing.assert_allclose(rewards[0], rewards[1], atol=0.03)
    assert min(rewards[0]) > scores[150:].mean(axis=0).max() + 0.05


def test_labels_of_training_rows_lower_the_noise_of_few_rewards() -> None:
    rng = np.random.default_rng(5)
    kind = rng.integers(6, size=900)
    features = (1.2 * rng.normal(size=(6, 120))[kind] + 2 * rng.normal(size=(900, 120)) + 10).astype(np.float32)
    chance = np.where(np.arange(6) == kind[:, None], 0.8, 0.5)
    scores = (rng.random((900, 6)) < chance).astype(np.float64)
    worth = []
    for groups in (tuple(f"kind {k}" for k in kind[:300]), None):
        head, choice, _ = _fitted(_problem(features[:300], scores[:300], groups), CONFIG)
        worth.append(chance[300:][np.arange(600), (features[300:] @ head.T).argmax(axis=1)].mean())
        assert groups is None or choice.mix.share > 0
    assert worth[0] > worth[1] + 0.03


def test_without_a_signal_the_router_is_not_worse_than_the_best_single_worker() -> None:
    chance = np.array([0.6, 0.5, 0.45, 0.3])
    lost = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        features = (rng.normal(size=(1200, 30)) + 5).astype(np.float32)
        scores = (rng.random((200, 4)) < chance).astype(np.float64)
        head, choice, _ = _fitted(_problem(features[:200], scores), CONFIG)
        picked = (features[200:] @ head.T).argmax(axis=1)
        lost.append(chance[int(scores.mean(axis=0).argmax())] - chance[picked].mean())
        if choice.kind == "best single":
            assert set(picked.tolist()) == {choice.best}
    assert np.mean(lost) < 0.01
    assert max(lost) < 0.06  # less than one standard error of 100 held-out rows


def test_calibration_finds_the_scale_that_the_logits_lack() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(20_000, 3)) * 2
    policy = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    best = np.array([rng.choice(3, p=row) for row in policy])
    assert calibrate(logits / 5, np.eye(3)[best]) == pytest.approx(5, rel=0.05)
