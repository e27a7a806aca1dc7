"""Compares a router with its baselines on held-out rows. Pure: features and tables in, figures out.

Everything is fitted on the table's train and valid rows and scored on the evaluated split. `accuracy` is the mean score of the
chosen worker; with scores of 0 and 1 that is accuracy in the usual sense.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubefugu_core.errors import DataError
from kubefugu_trainer.evaluation import baselines, inference, metrics
from kubefugu_trainer.outcomes.table import OutcomeTable

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
ROUTER, BEST_SINGLE, KNN = "router", "best_single", "knn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A method's result on each evaluated question."""

    name: str
    got: FloatArray
    """(n,): score of what it chose."""
    choices: IntArray | None = None
    """(n,): worker it chose; None for mixtures."""
    cost: FloatArray | None = None
    """(n,): US dollars of what it chose; None where unknown."""
    confidence: FloatArray | None = None
    """(n,): what it says about its choice; None where it says nothing."""
    calibrated_on: FloatArray | None = None
    """(n,): the outcome that the confidence is about; None: the score."""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What is compared. Feature arrays are (rows, d) of the fitting and the evaluated rows."""

    fit: OutcomeTable
    test: OutcomeTable
    fit_features: NDArray[np.float32]
    test_features: NDArray[np.float32]
    router_logits: FloatArray
    """(test rows, L)."""
    seed: int


def methods(inputs: Inputs, *, progress: Callable[[str], None] = lambda name: None) -> list[Method]:
    """Every method's choices. Raises DataError where there is nothing to fit on or to evaluate."""
    fit, test = inputs.fit, inputs.test
    if not len(fit) or not len(test):
        raise DataError(f"{fit.source}: column 'split': evaluation needs training rows for the baselines and rows to evaluate")
    found = [
        _random(test),
        _fixed(BEST_SINGLE, test, _best_single(fit, test), worker=fit.workers[metrics.best_single(fit.scores)]),
    ]
    if fit.groups is not None and test.groups is not None:
        found.append(_fixed("best_per_label", test, baselines.per_label(fit.scores, fit.groups, test.groups)))
    x, y = inputs.fit_features.astype(np.float64), inputs.test_features.astype(np.float64)
    progress("knn")
    knn = baselines.Knn(x, fit.scores)
    found.append(_predicted(KNN, test, knn(y), k=knn.k))
    progress("ridge")
    found.append(_predicted("ridge", test, baselines.ridge(x, fit.scores)(y)))
    progress("mlp")
    found.append(_predicted("mlp", test, baselines.mlp(x, fit.scores, seed=inputs.seed)(y)))
    found.append(_router(test, inputs.router_logits))
    found.extend(_oracles(test, y, inputs.seed))
    return found


def _best_single(fit: OutcomeTable, test: OutcomeTable) -> IntArray:
    return np.full(len(test), metrics.best_single(fit.scores), dtype=np.int64)


def _random(test: OutcomeTable) -> Method:
    cost = None if test.costs is None else test.costs.mean(axis=1)
    return Method(name="random", got=test.scores.mean(axis=1), cost=cost)


def _fixed(name: str, test: OutcomeTable, choices: IntArray, **details: Any) -> Method:
    cost = None if test.costs is None else metrics.chosen(test.costs, choices)
    return Method(name=name, got=metrics.chosen(test.scores, choices), choices=choices, cost=cost, details=details)


def _predicted(name: str, test: OutcomeTable, predicted: FloatArray, **details: Any) -> Method:
    method = _fixed(name, test, predicted.argmax(axis=1).astype(np.int64), **details)
    confidence = np.clip(predicted.max(axis=1), 0.0, 1.0)
    return Method(
        name=name, got=method.got, choices=method.choices, cost=method.cost, confidence=confidence, details=dict(details)
    )


def _router(test: OutcomeTable, logits: FloatArray) -> Method:
    """The router's probability is that of being the best worker, ties shared; that is what it is calibrated on."""
    method = _fixed(ROUTER, test, logits.argmax(axis=1).astype(np.int64))
    best = test.scores >= test.scores.max(axis=1, keepdims=True) - 1e-9
    share = best / best.sum(axis=1, keepdims=True)
    assert method.choices is not None
    return Method(
        name=ROUTER, got=method.got, choices=method.choices, cost=method.cost,
        confidence=metrics.softmax(logits).max(axis=1), calibrated_on=metrics.chosen(share, method.choices),
    )  # fmt: skip


def _oracles(test: OutcomeTable, features: FloatArray, seed: int) -> list[Method]:
    """The best worker of each question in hindsight, and cross-fitted: by repeats where there are any, else by kinds."""
    oracle = _fixed("oracle", test, test.scores.argmax(axis=1).astype(np.int64))
    values = None if test.repeats is None else baselines.crossfit_oracle(test.repeats)
    if values is not None:
        return [oracle, Method(name="oracle_crossfit", got=values, details={"crossfit": "repeats"})]
    kinds = test.groups if test.groups is not None else baselines.feature_kinds(features, seed=seed)
    crossed = baselines.crossfit_kinds(test.scores, kinds, np.random.default_rng([seed, *b"oracle"]))
    told = "labels" if test.groups is not None else "clusters"
    return [
        oracle,
        Method(name="oracle_crossfit", got=crossed, details={"crossfit": f"other questions of the same kind ({told})"}),
    ]


def figures(found: list[Method], test: OutcomeTable, *, seed: int) -> dict[str, dict[str, Any]]:
    """Per method: accuracy, ci95, cost, regret, ece, share of best choices; for all but the references, paired tests too."""
    by_name = {method.name: method for method in found}
    return {method.name: _figures(method, by_name, test, seed) for method in found}


def _figures(method: Method, by_name: Mapping[str, Method], test: OutcomeTable, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng([seed, *method.name.encode()])
    low, high = inference.bootstrap_interval(method.got, rng)
    values: dict[str, Any] = {
        "accuracy": float(method.got.mean()),
        "ci95": [low, high],
        "cost": None if method.cost is None else float(method.cost.mean()),
        "n": len(method.got),
        "regret": metrics.regret(test.scores, method.got),
        **method.details,
    }
    if method.choices is not None:
        values["best_choice_share"] = metrics.agreement(test.scores, method.choices)
    if method.confidence is not None:
        outcome = method.got if method.calibrated_on is None else method.calibrated_on
        values["ece"] = metrics.expected_calibration_error(method.confidence, outcome)
    if method.name == ROUTER:
        for name in (BEST_SINGLE, KNN, "best_per_label"):
            if name in by_name:
                values |= _paired(name, method.got, by_name[name].got, rng)
    return values


def _paired(name: str, got: FloatArray, other: FloatArray, rng: np.random.Generator) -> dict[str, Any]:
    """`p_vs_<name>` is McNemar's where all scores are 0 or 1, else the paired bootstrap's; both are given where both exist."""
    bootstrap = inference.paired_bootstrap(got, other, rng)
    exact = inference.mcnemar(got, other)
    return {
        f"p_vs_{name}": bootstrap if exact is None else exact,
        f"bootstrap_p_vs_{name}": bootstrap,
        f"mcnemar_p_vs_{name}": exact,
        f"gain_vs_{name}": float((got - other).mean()),
    }


def breakdown(method: Method, labels: tuple[str, ...] | None, test: OutcomeTable, best: Method) -> dict[str, dict[str, float]]:
    """Accuracy of a method and of the best single worker for each label."""
    if labels is None:
        return {}
    array = np.asarray(labels, dtype=object)
    return {
        label: {
            "n": int(np.sum(array == label)),
            "accuracy": float(method.got[array == label].mean()),
            "best_single": float(best.got[array == label].mean()),
            "oracle": float(test.scores[array == label].max(axis=1).mean()),
        }
        for label in sorted(set(labels))
    }


def right_kind(method: Method, test: OutcomeTable, kinds: Mapping[str, str], *, seed: int) -> dict[str, Any]:
    """Share of questions given to the worker that their label is meant for, overall and by slice; {} where unknown."""
    if test.groups is None or method.choices is None or not set(test.groups) <= kinds.keys():
        return {}
    hit = np.array([test.workers[c] == kinds[g] for c, g in zip(method.choices, test.groups, strict=True)], dtype=np.float64)
    rng = np.random.default_rng([seed, *b"right_kind"])
    slices = {"all": np.ones(len(hit), dtype=bool)}
    if test.slices is not None:
        array = np.asarray(test.slices, dtype=object)
        slices |= {name: array == name for name in sorted(set(test.slices))}
    return {
        name: {
            "n": int(rows.sum()),
            "share": float(hit[rows].mean()),
            "ci95": list(inference.bootstrap_interval(hit[rows], rng)),
        }
        for name, rows in slices.items()
    }


def worker_share(method: Method, test: OutcomeTable) -> dict[str, float]:
    """Share of questions given to each worker."""
    if method.choices is None:
        return {}
    return {name: float(np.mean(method.choices == i)) for i, name in enumerate(test.workers)}
