from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from support.tables import colour_table

from kubefugu_core.errors import DataError
from kubefugu_trainer.evaluation import baselines, evaluate, inference, metrics, noise
from kubefugu_trainer.evaluation.evaluate import Inputs

RNG = np.random.default_rng(0)


def _features(table, *, seed: int = 0) -> np.ndarray:
    """Features that tell the colour, with noise."""
    rng = np.random.default_rng(seed)
    kinds = np.array([table.workers.index(group) for group in table.groups])
    return (np.eye(3)[kinds] @ rng.normal(size=(3, 8)) * 2 + rng.normal(size=(len(table), 8)) * 0.5 + 3).astype(np.float32)


def _inputs(count: int = 400, **changes: object) -> Inputs:
    table = colour_table(count, costs=True)
    features = _features(table)
    train, test = table.rows("train"), table.rows("test")
    logits = np.eye(3)[[table.workers.index(table.groups[i]) for i in test]] * 3  # type: ignore[index]
    arguments = {
        "fit": table.take(train), "test": table.take(test), "fit_features": features[train], "test_features": features[test],
        "router_logits": logits, "seed": 1,
    }  # fmt: skip
    return Inputs(**(arguments | changes))  # type: ignore[arg-type]


def test_methods_stand_in_their_places() -> None:
    inputs = _inputs()
    found = {method.name: method for method in evaluate.methods(inputs)}
    values = evaluate.figures(list(found.values()), inputs.test, seed=1)
    assert list(values) == [
        "random",
        "best_single",
        "best_per_label",
        "knn",
        "ridge",
        "mlp",
        "router",
        "oracle",
        "oracle_crossfit",
    ]
    scores = inputs.test.scores
    assert values["random"]["accuracy"] == pytest.approx(scores.mean())
    best = inputs.fit.scores.mean(axis=0).argmax()
    assert values["best_single"]["accuracy"] == pytest.approx(scores[:, best].mean())
    assert values["best_single"]["cost"] == pytest.approx([0.001, 0.002, 0.004][best])
    assert values["oracle"]["accuracy"] == pytest.approx(scores.max(axis=1).mean())
    assert values["oracle"]["regret"] == 0
    for name in ("best_per_label", "knn", "ridge", "mlp", "router"):
        assert values[name]["accuracy"] > values["best_single"]["accuracy"] + 0.3, name
        low, high = values[name]["ci95"]
        assert low < values[name]["accuracy"] < high
    assert values["router"]["p_vs_best_single"] < 1e-6
    assert values["router"]["p_vs_knn"] > 0.05
    assert values["router"]["best_choice_share"] == metrics.agreement(scores, found["router"].choices)  # type: ignore[arg-type]


def test_a_table_without_groups_costs_and_binary_scores() -> None:
    from dataclasses import replace

    inputs = _inputs()
    soft = [replace(t, groups=None, costs=None, scores=t.scores * 0.8 + 0.1) for t in (inputs.fit, inputs.test)]
    inputs = replace(inputs, fit=soft[0], test=soft[1])
    values = evaluate.figures(evaluate.methods(inputs), inputs.test, seed=1)
    assert "best_per_label" not in values
    assert all(method["cost"] is None for method in values.values())
    assert values["router"]["mcnemar_p_vs_knn"] is None
    assert values["router"]["p_vs_knn"] == values["router"]["bootstrap_p_vs_knn"]


def test_the_best_single_worker_is_chosen_on_training_rows() -> None:
    from dataclasses import replace

    inputs = _inputs()
    fit = replace(inputs.fit, scores=np.tile([0.0, 0.0, 1.0], (len(inputs.fit), 1)))
    found = {m.name: m for m in evaluate.methods(replace(inputs, fit=fit))}
    assert set(found["best_single"].choices.tolist()) == {2}  # type: ignore[union-attr]


def test_nothing_to_fit_on_is_said() -> None:
    from dataclasses import replace

    inputs = _inputs()
    with pytest.raises(DataError, match="needs training rows"):
        evaluate.methods(replace(inputs, fit=inputs.fit.take([])))


def test_mcnemar_is_the_exact_binomial_test() -> None:
    first = np.array([1.0] * 30 + [0.0] * 12 + [1.0] * 50)
    second = np.array([0.0] * 30 + [1.0] * 12 + [1.0] * 50)
    assert inference.mcnemar(first, second) == pytest.approx(binomtest(12, 42, 0.5).pvalue)
    assert inference.mcnemar(first, first) == 1.0
    assert inference.mcnemar(first * 0.5, second) is None


def test_the_paired_bootstrap_agrees_with_mcnemar_and_is_symmetric() -> None:
    rng = np.random.default_rng(4)
    first = (rng.random(600) < 0.65).astype(float)
    second = np.where(rng.random(600) < 0.85, first, 1 - first)
    exact = inference.mcnemar(first, second)
    found = inference.paired_bootstrap(first, second, np.random.default_rng(0))
    other = inference.paired_bootstrap(second, first, np.random.default_rng(0))
    assert exact is not None
    assert found == pytest.approx(exact, abs=0.03)
    assert other == pytest.approx(found, abs=0.02)
    assert inference.paired_bootstrap(first, first, rng) == 1.0


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        low, high = inference.bootstrap_interval((rng.random(150) < 0.4).astype(float), rng, draws=400)
        covered += low <= 0.4 <= high
    assert 0.89 <= covered / 200 <= 0.99


def test_calibration_error_of_a_calibrated_and_of_a_boastful_method() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(20_000)
    outcome = (rng.random(20_000) < confidence).astype(float)
    assert metrics.expected_calibration_error(confidence, outcome) < 0.02
    assert metrics.expected_calibration_error(np.ones(20_000), outcome) == pytest.approx(0.5, abs=0.02)


def test_knn_finds_what_is_near_and_chooses_k_without_the_test_rows() -> None:
    inputs = _inputs(900)
    knn = baselines.Knn(inputs.fit_features.astype(float), inputs.fit.scores)
    picked = knn(inputs.test_features.astype(float)).argmax(axis=1)
    assert metrics.chosen(inputs.test.scores, picked).mean() > 0.85
    assert knn.k in baselines.NEIGHBOURS


def test_per_label_falls_back_to_the_best_single_worker() -> None:
    scores = np.array([[1.0, 0], [1, 0], [1, 0], [0, 1]])
    assert baselines.per_label(scores, ["a", "a", "a", "b"], ["b", "a", "unseen"]).tolist() == [1, 0, 0]


def test_with_one_repeat_the_oracle_is_crossfitted_over_kinds_and_does_not_profit_from_noise() -> None:
    rng = np.random.default_rng(0)
    coins = (rng.random((2000, 6)) < 0.5).astype(float)
    kinds = [str(i % 8) for i in range(2000)]
    assert baselines.crossfit_kinds(coins, kinds, rng).mean() == pytest.approx(0.5, abs=0.04)
    sure = np.eye(8)[np.arange(2000) % 8]
    assert baselines.crossfit_kinds(sure, kinds, rng).tolist() == [1.0] * 2000
    alone = baselines.crossfit_kinds(
        sure[:3], ["a", "b", "c"], rng
    )  # no other question of the kind: the best of the other half
    assert alone.shape == (3,)


def test_the_crossfit_oracle_does_not_profit_from_noise() -> None:
    rng = np.random.default_rng(0)
    coins = rng.integers(0, 2, size=(3000, 4, 2)).astype(float)
    repeats = [[tuple(cell) for cell in row] for row in coins]
    values = baselines.crossfit_oracle(repeats)
    assert values is not None
    assert values.mean() == pytest.approx(0.5, abs=0.02)
    assert coins.mean(axis=2).max(axis=1).mean() > 0.8
    sure = [[(1.0, 1.0), (0.0, 0.0)]] * 5
    assert baselines.crossfit_oracle(sure).tolist() == [1.0] * 5  # type: ignore[union-attr]
    assert baselines.crossfit_oracle([[(1.0,), (0.0, 1.0)]]) is None


def test_right_kind_counts_the_worker_that_a_label_is_meant_for() -> None:
    inputs = _inputs()
    router = {m.name: m for m in evaluate.methods(inputs)}["router"]
    found = evaluate.right_kind(router, inputs.test, {"red": "red", "blue": "blue", "green": "green"}, seed=0)
    assert found["all"]["share"] == 1.0
    assert found["even"]["n"] + found["odd"]["n"] == found["all"]["n"]
    swapped = evaluate.right_kind(router, inputs.test, {"red": "blue", "blue": "red", "green": "green"}, seed=0)
    assert swapped["all"]["share"] < 0.5
    assert evaluate.right_kind(router, inputs.test, {"red": "red"}, seed=0) == {}


@pytest.mark.parametrize("kind", noise.KINDS)
def test_noise_changes_the_text_a_little_and_only_the_last_message(kind: str) -> None:
    text = "Please convert the following distance of 1234 kilometers into nautical miles, rounding to 2 digits."
    messages = (("system", "Be short."), ("user", text))
    changed = noise.disturb(messages, kind, np.random.default_rng(0))
    assert changed[0] == messages[0]
    assert changed[1][1] != text
    assert "1234" in changed[1][1]
    assert abs(len(changed[1][1]) - len(text)) < (70 if kind == "paraphrase" else 15)
    assert noise.disturb(messages, kind, np.random.default_rng(0)) == changed


def test_short_words_and_code_are_left_alone_by_typos() -> None:
    assert noise.typos("2 + 2 = x", RNG) == "2 + 2 = x"
    assert noise.typos("foo_barbar(1)", RNG) == "foo_barbar(1)"
