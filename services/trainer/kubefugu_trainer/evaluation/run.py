"""`kubefugu eval`: an artifact on a table's held-out rows, through the engine that serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubefugu_core.errors import ArtifactRefusedError, DataError
from kubefugu_core.models.catalog import CATALOG
from kubefugu_routing.policy import PolicyArtifact, bind, load_artifact
from kubefugu_routing.svf.bundles import find_bundle
from kubefugu_trainer.evaluation import evaluate, noise
from kubefugu_trainer.evaluation.evaluate import BEST_SINGLE, ROUTER, Inputs, Method
from kubefugu_trainer.features.extract import FeatureSource
from kubefugu_trainer.outcomes.table import Messages, OutcomeTable
from kubefugu_trainer.runs.progress import Reporter

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationConfig:
    """What is evaluated."""

    split: str = "test"
    seed: int = 42
    robustness_rows: int = 200
    """Questions that are disturbed in each way; 0: none."""


def artifact_file(path: Path) -> Path:
    """The artifact in a run directory, or the file itself. Raises ArtifactRefusedError where there is none."""
    file = path / "artifact.safetensors" if path.is_dir() else path
    if not file.is_file():
        raise ArtifactRefusedError(f"{file}: there is no such artifact.", field="artifact")
    return file


def backbone_reference(artifact: PolicyArtifact) -> str:
    """A loadable reference of the artifact's backbone: the catalogue's name where it ships it, else hub id and commit."""
    for model in CATALOG.values():
        if any(file.sha256 == artifact.backbone_revision for file in model.files):
            return model.name
    return f"{artifact.backbone_id}@{artifact.backbone_revision}" if "/" in artifact.backbone_id else artifact.backbone_id


class Evaluation:
    """One artifact and one table."""

    def __init__(
        self,
        artifact_path: Path,
        table: OutcomeTable,
        *,
        source: FeatureSource,
        config: EvaluationConfig,
        reporter: Reporter,
        workers: Sequence[str] | None = None,
    ) -> None:
        """Binds everything; raises ArtifactRefusedError or DataError where it does not belong together."""
        self._artifact = load_artifact(artifact_path)
        bind(self._artifact, source.backbone.info)
        self._rows = _worker_rows(self._artifact, table, workers)
        names = [self._artifact.workers[row].name for row in self._rows]
        _check_models(self._artifact, self._rows, table)
        self._table = table.select_workers(names)
        self._source, self._config, self._reporter = source, config, reporter
        self._variant = None
        if self._artifact.has_offsets and self._artifact.factors is not None:
            bundle = find_bundle(self._artifact.factors, beside=artifact_path)
            self._variant = source.engine.variant(self._artifact.offsets, bundle)

    def figures(self) -> dict[str, dict[str, Any]]:
        """Figures of every method; the router's hold tests, breakdowns, robustness."""
        table, config = self._table, self._config
        fit = table.take(np.sort(np.concatenate([table.rows("train"), table.rows("valid")])))
        test = table.take(table.rows(config.split))
        if not len(test):
            raise DataError(f"{table.source}: column 'split': there are no rows of the split {config.split!r}", field="split")
        logits = self._logits(test.messages)
        inputs = Inputs(
            fit=fit, test=test, fit_features=self._features(fit.messages), test_features=self._features(test.messages),
            router_logits=logits, seed=config.seed,
        )  # fmt: skip
        self._reporter.start("methods", total=3)
        try:
            found = evaluate.methods(inputs, progress=lambda name: self._reporter.advance(method=name))
        finally:
            self._reporter.finish()
        values = evaluate.figures(found, test, seed=config.seed)
        values[ROUTER] |= self._router_details(found, test, logits)
        return values

    def _router_details(self, found: list[Method], test: OutcomeTable, logits: FloatArray) -> dict[str, Any]:
        by_name = {method.name: method for method in found}
        router, best = by_name[ROUTER], by_name[BEST_SINGLE]
        kinds = test.provenance.get("kinds", {})
        return {
            "split": self._config.split,
            "seed": self._config.seed,
            "data_sha256": test.sha256,
            "backbone": self._artifact.backbone_id,
            "backbone_revision": self._artifact.backbone_revision,
            "input_format": self._artifact.input_format.value,
            "workers": list(test.workers),
            "worker_share": evaluate.worker_share(router, test),
            "per_group": evaluate.breakdown(router, test.groups, test, best),
            "per_slice": evaluate.breakdown(router, test.slices, test, best),
            "right_kind": evaluate.right_kind(router, test, kinds, seed=self._config.seed),
            "robustness": self._robustness(test, logits),
        }

    def _robustness(self, test: OutcomeTable, logits: FloatArray) -> dict[str, dict[str, float]]:
        rng = np.random.default_rng([self._config.seed, *b"robustness"])
        rows = np.sort(rng.permutation(len(test))[: self._config.robustness_rows])
        if not len(rows):
            return {}
        before = logits[rows].argmax(axis=1)
        found = {}
        for kind in noise.KINDS:
            disturbed = [noise.disturb(test.messages[int(row)], kind, rng) for row in rows]
            after = self._logits(disturbed).argmax(axis=1)
            found[kind] = {
                "n": len(rows),
                "same_route": float(np.mean(before == after)),
                "accuracy": float(test.scores[rows, after].mean()),
                "accuracy_undisturbed": float(test.scores[rows, before].mean()),
            }
        return found

    def _features(self, conversations: Sequence[Messages]) -> NDArray[np.float32]:
        """The frozen backbone's features, for the baselines."""
        return self._source.features(conversations, self._artifact.input_format, num_agents=self._artifact.num_agents)

    def _logits(self, conversations: Sequence[Messages]) -> FloatArray:
        """The router's worker logits (n, workers kept), as served."""
        features = self._source.features(
            conversations, self._artifact.input_format, num_agents=self._artifact.num_agents, variant=self._variant
        )
        return np.asarray(features @ self._artifact.head[self._rows].T, dtype=np.float64)


def _worker_rows(artifact: PolicyArtifact, table: OutcomeTable, workers: Sequence[str] | None) -> list[int]:
    """Rows of the artifact that are evaluated: all, or those named."""
    names = [row.name for row in artifact.workers]
    wanted = names if workers is None else list(workers)
    for name in wanted:
        if name not in names:
            raise ArtifactRefusedError(
                f"The artifact has no row for worker {name!r}; it has: {', '.join(names)}.", field="workers"
            )
        if name not in table.workers:
            raise DataError(
                f"{table.source}: no column 'score:{name}', but the artifact has a row for that worker "
                f"(name the workers to compare with --workers)",
                field=f"score:{name}",
            )
    return [names.index(name) for name in wanted]


def _check_models(artifact: PolicyArtifact, rows: Sequence[int], table: OutcomeTable) -> None:
    models = table.provenance.get("models", {})
    for row in (artifact.workers[i] for i in rows):
        if row.name in models and row.model != row.name and models[row.name] != row.model:
            raise ArtifactRefusedError(
                f"The row of worker {row.name!r} was trained for model {row.model!r}, the table measured {models[row.name]!r}.",
                field="workers",
            )
