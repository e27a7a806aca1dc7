"""A supervised run: table in, run directory with the trained artifact out. Resumes at the feature, and at the fold."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubefugu_core.errors import DataError
from kubefugu_routing.formats import RouterFormat
from kubefugu_routing.policy import PolicyArtifact, WorkerRow, save_artifact
from kubefugu_routing.svf.layout import default_layer
from kubefugu_trainer.features.extract import FeatureSource
from kubefugu_trainer.outcomes.table import OutcomeTable
from kubefugu_trainer.runs.directory import RunDirectory
from kubefugu_trainer.runs.files import write_json
from kubefugu_trainer.runs.progress import Reporter
from kubefugu_trainer.supervised import plots
from kubefugu_trainer.supervised.config import SupervisedConfig
from kubefugu_trainer.supervised.search import Choice, Fold, choose, final_head, fit_fold, make_folds
from kubefugu_trainer.supervised.targets import rewards

FloatArray = NDArray[np.float64]
_FEWEST_ROWS = 20


class SupervisedRun:
    """One run. `source` gives features, `run` keeps what is done."""

    def __init__(
        self, config: SupervisedConfig, table: OutcomeTable, *, source: FeatureSource, run: RunDirectory, reporter: Reporter
    ) -> None:
        self._config = config
        self._table = training_rows(table)
        self._source = source
        self._run = run
        self._reporter = reporter
        self._reward = rewards(self._table, cost_weight=config.cost_weight)

    def execute(self) -> Path:
        """Fit and write; returns the artifact's path. A finished run returns at once."""
        if self._run.report.is_file():
            self._reporter.note(f"{self._run.path}: this run is already finished")
            return self._run.artifact
        fmt = self._format()
        features = self._features(fmt, self._table)
        folds = self._folds(features, self._reward, name=fmt.value)
        choice = choose(features, self._reward, folds, self._config)
        head = final_head(features, folds, choice)
        metrics = self._metrics(choice, folds, features, head)
        self._run.metrics.append({"event": "chosen", **metrics})
        self._write(fmt, head, choice, metrics)
        plots.write(self._run.path / "plots", choice=choice, folds=folds, config=self._config)
        write_json(self._run.report, {**metrics, "candidates": choice.table})
        return self._run.artifact

    def _features(self, fmt: RouterFormat, table: OutcomeTable) -> NDArray[np.float32]:
        return self._source.features(table.messages, fmt, num_agents=len(table.workers))

    def _format(self) -> RouterFormat:
        """The configured format, or the better of those that the backbone reads, on a sample of the training rows."""
        formats = self._source.formats
        wanted = self._config.input_format
        if wanted != "auto":
            if RouterFormat(wanted) not in formats:
                raise DataError(f"The backbone has no chat template, so --format {wanted} is not possible.", field="format")
            return RouterFormat(wanted)
        if len(formats) == 1:
            return formats[0]
        rng = self._rng("format")
        rows = np.sort(rng.permutation(len(self._table))[: self._config.format_rows])
        sample, reward = self._table.take(rows), self._reward[rows]
        found: dict[RouterFormat, float] = {}
        for fmt in formats:
            features = self._features(fmt, sample)
            folds = self._folds(features, reward, name=f"sample-{fmt.value}", table=sample)
            found[fmt] = choose(features, reward, folds, self._config).reward
            self._run.metrics.append({"event": "format", "format": fmt.value, "rows": len(rows), "reward": found[fmt]})
        return max(formats, key=lambda fmt: found[fmt])

    def _folds(
        self, features: NDArray[np.float32], reward: FloatArray, *, name: str, table: OutcomeTable | None = None
    ) -> list[Fold]:
        table = table or self._table
        parts = make_folds(table.messages, table.groups, folds=self._config.folds, rng=self._rng(f"folds {name}"))
        done: list[Fold] = []
        self._reporter.start(f"folds {name}", total=len(parts))
        try:
            for number, valid in enumerate(parts):
                key = f"{name}-fold-{number}"
                fold = _load_fold(self._run, key)
                if fold is None:
                    fold = fit_fold(features, reward, valid, self._config, rng=self._rng(key))
                    _save_fold(self._run, key, fold)
                    for epoch, figures in enumerate(fold.curves, start=1):
                        self._run.metrics.append({"event": "epoch", "fold": key, "epoch": epoch, "validation": figures})
                done.append(fold)
                self._reporter.advance()
        finally:
            self._reporter.finish()
        return done

    def _rng(self, purpose: str) -> np.random.Generator:
        """A generator of its own for each purpose, so that resuming needs no stored state."""
        return np.random.default_rng([self._config.seed, *purpose.encode()])

    def _metrics(
        self, choice: Choice, folds: list[Fold], features: NDArray[np.float32], head: NDArray[np.float32]
    ) -> dict[str, Any]:
        reward = self._reward
        picked = (features.astype(np.float64) @ head.T.astype(np.float64)).argmax(axis=1)
        setting = asdict(self._config.settings[choice.setting])
        return {
            "kind": choice.kind,
            "setting": setting,
            "cross_validated_reward": choice.reward,
            "training_reward": float(reward[np.arange(len(reward)), picked].mean()),
            "best_single_training_reward": float(reward.mean(axis=0).max()),
            "mean_best_epoch": float(np.mean([fold.epochs[choice.setting] for fold in folds])),
            "constant_error": float(np.mean([fold.constant_error for fold in folds])),
            "scale": choice.scale,
            "rows": len(reward),
        }

    def _write(self, fmt: RouterFormat, head: NDArray[np.float32], choice: Choice, metrics: dict[str, Any]) -> None:
        info = self._source.backbone.info
        models = self._table.provenance.get("models", {})
        artifact = PolicyArtifact(
            backbone_id=info.id,
            backbone_revision=info.revision,
            layer=default_layer(info),
            head=head,
            workers=tuple(WorkerRow(name, str(models.get(name, name))) for name in self._table.workers),
            roles=False,
            input_format=fmt,
            training={
                "algorithm": "supervised",
                "data_sha256": self._table.sha256,
                "seed": self._config.seed,
                "config": self._config.model_dump(mode="json", exclude={"data", "backbone"}),
            },
            metrics=metrics,
        )
        sha256 = save_artifact(self._run.artifact, artifact)
        self._run.metrics.append({"event": "artifact", "sha256": sha256})


def training_rows(table: OutcomeTable) -> OutcomeTable:
    """Rows of the splits train and valid. Raises DataError for too few rows or workers."""
    if len(table.workers) < 2:
        raise DataError(f"{table.source}: a router needs at least two workers, the table has {len(table.workers)}")
    rows = np.sort(np.concatenate([table.rows("train"), table.rows("valid")]))
    if len(rows) < _FEWEST_ROWS:
        raise DataError(f"{table.source}: column 'split': {len(rows)} training rows are too few, {_FEWEST_ROWS} are needed")
    return table.take(rows)


def _save_fold(run: RunDirectory, key: str, fold: Fold) -> None:
    run.save(
        key, valid=fold.valid, kl=fold.kl, ridge=fold.ridge, epochs=np.array(fold.epochs), curves=fold.curves,
        constant_error=np.array(fold.constant_error),
    )  # fmt: skip


def _load_fold(run: RunDirectory, key: str) -> Fold | None:
    arrays = run.load(key)
    if arrays is None:
        return None
    return Fold(
        valid=arrays["valid"], kl=arrays["kl"], ridge=arrays["ridge"], epochs=tuple(int(e) for e in arrays["epochs"]),
        curves=arrays["curves"], constant_error=float(arrays["constant_error"]),
    )  # fmt: skip
