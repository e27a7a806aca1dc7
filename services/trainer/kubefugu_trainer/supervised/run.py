"""A supervised run: table in, run directory with the trained artifact out. Resumes at the feature, and at the fold."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubefugu_core.errors import DataError
from kubefugu_routing.formats import RouterFormat
from kubefugu_routing.policy import PolicyArtifact, WorkerRow
from kubefugu_routing.policy.artifact import FactorRef
from kubefugu_routing.svf.layout import default_layer
from kubefugu_trainer.evaluation import noise
from kubefugu_trainer.features.extract import FeatureSource
from kubefugu_trainer.outcomes.table import Messages, OutcomeTable
from kubefugu_trainer.runs.artifacts import write_artifact
from kubefugu_trainer.runs.directory import RunDirectory
from kubefugu_trainer.runs.files import write_json
from kubefugu_trainer.runs.progress import Reporter
from kubefugu_trainer.supervised import plots
from kubefugu_trainer.supervised.adapt import Adapted, FoldHead, OffsetsStage
from kubefugu_trainer.supervised.config import RIDGE_PENALTIES, SHARPNESS, SupervisedConfig, SvfConfig
from kubefugu_trainer.supervised.folds import (
    GradientFold,
    LeastSquares,
    Mix,
    Problem,
    fit_kl_fold,
    fit_least_squares,
    fit_reward_fold,
    make_folds,
)
from kubefugu_trainer.supervised.search import Choice, Rows, choose, choose_mix, final_head, mix_reward
from kubefugu_trainer.supervised.targets import rewards

FloatArray = NDArray[np.float64]
FEWEST_ROWS = 20
_WORDINGS = ("whitespace", "typos", "whitespace", "paraphrase")
"""Kinds of disturbed wording, in turn."""


class SupervisedRun:
    """One run. `source` gives features, `run` keeps what is done."""

    def __init__(
        self,
        config: SupervisedConfig,
        table: OutcomeTable,
        *,
        source: FeatureSource,
        run: RunDirectory,
        reporter: Reporter,
        svf: SvfConfig | None = None,
        factors: FactorRef | None = None,
    ) -> None:
        """`svf`: how offsets are moved after the head; None: the head alone is fitted. `factors`: see OffsetsStage."""
        self._factors = factors
        self.config = config
        self._svf = svf
        self._table = training_rows(table)
        self._source = source
        self.run = run
        self.reporter = reporter
        self._reward = rewards(self._table, cost_weight=config.cost_weight)

    def execute(self) -> Path:
        """Fit and write; returns the artifact's path. A finished run returns at once."""
        if self.run.report.is_file():
            self.reporter.note(f"{self.run.path}: this run is already finished")
            return self.run.artifact
        fmt = self._format()
        problem = self._problem(fmt, self._table, self._reward, disturbed=True)
        folds = _Folds(self, problem, self._table, name=fmt.value)
        squares, mix, table, tried = folds.least_squares(self.config.strengths)
        kl, direct = folds.gradient("kl", fit_kl_fold, mix), folds.gradient("reward", fit_reward_fold, mix)
        choice = choose(problem, mix, squares, kl, direct, self.config, table=table, tried=tried)
        head = final_head(problem, squares, kl, direct, choice)
        metrics = self._metrics(choice, squares, kl, problem, head)
        adapted = Adapted(head)
        if self._svf is not None:
            alone = final_head(problem, squares[:1], kl[:1], direct[:1], choice)
            fold = FoldHead(alone, squares[0].valid, choice.mix, self.config.settings[choice.setting])
            stage = OffsetsStage(
                self._svf, source=self._source, run=self.run, reporter=self.reporter, rng=self.rng("offsets"),
                factors=self._factors,
            )  # fmt: skip
            adapted = stage.execute(self._table, fmt, problem, fold) or adapted
            metrics["offsets"] = stage.figures
        self.run.metrics.append({"event": "chosen", **metrics})
        self._write(fmt, adapted, metrics)
        plots.write(self.run.path / "plots", choice=choice, folds=kl, config=self.config)
        write_json(self.run.report, {**metrics, "candidates": choice.table})
        return self.run.artifact

    def _features(self, fmt: RouterFormat, conversations: Sequence[Messages]) -> NDArray[np.float32]:
        return self._source.features(conversations, fmt, num_agents=len(self._table.workers))

    def _problem(self, fmt: RouterFormat, table: OutcomeTable, reward: FloatArray, *, disturbed: bool) -> Problem:
        """The features of a table's rows and, where wanted, how they move with the wording of some."""
        features = self._features(fmt, table.messages)
        rows, moved = np.zeros(0, dtype=np.int64), np.zeros((0, features.shape[1]), dtype=np.float32)
        if disturbed and self.config.wording_rows and max(self.config.strengths) > 0:
            rng = self.rng("wording")
            rows = np.sort(rng.permutation(len(table))[: self.config.wording_rows]).astype(np.int64)
            kinds = [_WORDINGS[i % len(_WORDINGS)] for i in range(len(rows))]
            asked = [noise.disturb(table.messages[row], kind, rng) for row, kind in zip(rows.tolist(), kinds, strict=True)]
            moved = self._features(fmt, asked) - features[rows]
        return Problem(
            features=features, reward=reward, groups=table.groups, shifted_rows=rows, shifts=moved, seed=self.config.seed
        )

    def _format(self) -> RouterFormat:
        """The configured format, or the better of those that the backbone reads, on a sample of the training rows."""
        formats = self._source.formats
        wanted = self.config.input_format
        if wanted != "auto":
            if RouterFormat(wanted) not in formats:
                raise DataError(f"The backbone has no chat template, so --format {wanted} is not possible.", field="format")
            return RouterFormat(wanted)
        if len(formats) == 1:
            return formats[0]
        rows = np.sort(self.rng("format").permutation(len(self._table))[: self.config.format_rows])
        sample, reward = self._table.take(rows), self._reward[rows]
        found: dict[RouterFormat, float] = {}
        for fmt in formats:
            problem = self._problem(fmt, sample, reward, disturbed=False)
            squares, mix, _, _ = _Folds(self, problem, sample, name=f"sample-{fmt.value}").least_squares((0.0,))
            found[fmt] = mix_reward(problem, squares, mix)
            self.run.metrics.append({"event": "format", "format": fmt.value, "rows": len(rows), "reward": found[fmt]})
        return max(formats, key=lambda fmt: found[fmt])

    def rng(self, purpose: str) -> np.random.Generator:
        """A generator of its own for each purpose, so that resuming needs no stored state."""
        return np.random.default_rng([self.config.seed, *purpose.encode()])

    def _metrics(
        self,
        choice: Choice,
        squares: Sequence[LeastSquares],
        kl: Sequence[GradientFold],
        problem: Problem,
        head: NDArray[np.float32],
    ) -> dict[str, Any]:
        reward, mix = problem.reward, choice.mix
        picked = (problem.features.astype(np.float64) @ head.T.astype(np.float64)).argmax(axis=1)
        return {
            "kind": choice.kind,
            "setting": asdict(self.config.settings[choice.setting]),
            "sharpness": asdict(SHARPNESS[choice.sharpness]),
            "targets": {
                "smoother": problem.smoothers[mix.smoother] if mix.share else None,
                "share": mix.share,
                "penalty": RIDGE_PENALTIES[mix.penalty],
                "smooth_penalty": RIDGE_PENALTIES[mix.smooth_penalty] if mix.share else None,
            },
            "wording_strength": mix.strength,
            "margin": choice.margin,
            "cross_validated_reward": choice.reward,
            "cross_validated_best_single": choice.single_reward,
            "cross_validated_same_route": choice.same_route,
            "training_reward": float(reward[np.arange(len(reward)), picked].mean()),
            "best_single_training_reward": float(reward.mean(axis=0).max()),
            "mean_best_epoch": float(np.mean([fold.epochs[choice.setting] for fold in kl])),
            "constant_error": float(np.mean([fold.constant_error for fold in squares])),
            "scale": choice.scale,
            "rows": len(reward),
        }

    def _write(self, fmt: RouterFormat, adapted: Adapted, metrics: dict[str, Any]) -> None:
        info = self._source.backbone.info
        models = self._table.provenance.get("models", {})
        artifact = PolicyArtifact(
            backbone_id=info.id,
            backbone_revision=info.revision,
            layer=default_layer(info),
            head=adapted.head,
            workers=tuple(WorkerRow(name, str(models.get(name, name))) for name in self._table.workers),
            roles=False,
            input_format=fmt,
            offsets=adapted.offsets,
            factors=adapted.factors,
            training={
                "algorithm": "supervised",
                "data_sha256": self._table.sha256,
                "seed": self.config.seed,
                "feature_dtype": info.dtype,
                "config": self.config.model_dump(mode="json", exclude={"data", "backbone"}),
                **({"svf": self._svf.model_dump(mode="json")} if self._svf is not None else {}),
            },
            metrics=metrics,
        )
        sha256 = write_artifact(self.run.artifact, artifact)
        self.run.metrics.append({"event": "artifact", "sha256": sha256})


class _Folds:
    """The folds of one problem, each kept in the run directory as soon as it is fitted."""

    def __init__(self, owner: SupervisedRun, problem: Problem, table: OutcomeTable, *, name: str) -> None:
        self._owner, self._problem, self._name = owner, problem, name
        self._parts = make_folds(table.messages, table.groups, folds=owner.config.folds, rng=owner.rng(f"folds {name}"))

    def least_squares(self, strengths: Sequence[float]) -> tuple[list[LeastSquares], Mix, Rows, list[FloatArray]]:
        """Folds at the chosen strength, what was chosen, the candidates and their rewards."""
        usable = strengths if len(self._problem.shifted_rows) else (0.0,)
        found: dict[float, list[LeastSquares]] = {strength: [] for strength in usable}
        with self._stage("least squares", total=len(usable) * len(self._parts)):
            for strength, folds in found.items():
                for number, valid in enumerate(self._parts):
                    key = f"{self._name}-squares-{strength:g}-{number}"
                    arrays = self._owner.run.load(key)
                    if arrays is None:
                        fold = fit_least_squares(self._problem, valid, strength)
                        self._owner.run.save(
                            key, valid=fold.valid, heads=fold.heads, constant=fold.constant, error=np.array(fold.constant_error)
                        )
                    else:
                        fold = LeastSquares(arrays["valid"], arrays["heads"], arrays["constant"], float(arrays["error"]))
                    folds.append(fold)
                    self._owner.reporter.advance()
        mix, rows, tried = choose_mix(self._problem, found)
        return found[mix.strength], mix, rows, tried

    def gradient(self, kind: str, fit: Callable[..., GradientFold], mix: Mix) -> list[GradientFold]:
        """Folds fitted by gradient on the chosen targets; `kind` names them in the run directory."""
        done: list[GradientFold] = []
        with self._stage(kind, total=len(self._parts)):
            for number, valid in enumerate(self._parts):
                key = f"{self._name}-{kind}-{number}"
                arrays = self._owner.run.load(key)
                if arrays is None:
                    fold = fit(self._problem, valid, mix, self._owner.config, rng=self._owner.rng(key))
                    self._owner.run.save(
                        key, valid=fold.valid, heads=fold.heads, epochs=np.array(fold.epochs), curves=fold.curves
                    )
                    for epoch, figures in enumerate(fold.curves, start=1):
                        self._owner.run.metrics.append({"event": "epoch", "fold": key, "epoch": epoch, "validation": figures})
                else:
                    epochs = tuple(int(epoch) for epoch in arrays["epochs"])
                    fold = GradientFold(arrays["valid"], arrays["heads"], epochs, arrays["curves"])
                done.append(fold)
                self._owner.reporter.advance()
        return done

    @contextlib.contextmanager
    def _stage(self, what: str, *, total: int) -> Iterator[None]:
        self._owner.reporter.start(f"{what}, {self._name}", total=total)
        try:
            yield
        finally:
            self._owner.reporter.finish()


def training_rows(table: OutcomeTable) -> OutcomeTable:
    """Rows of the splits train and valid. Raises DataError for too few rows or workers."""
    if len(table.workers) < 2:
        raise DataError(f"{table.source}: a router needs at least two workers, the table has {len(table.workers)}")
    rows = np.sort(np.concatenate([table.rows("train"), table.rows("valid")]))
    if len(rows) < FEWEST_ROWS:
        raise DataError(f"{table.source}: column 'split': {len(rows)} training rows are too few, {FEWEST_ROWS} are needed")
    return table.take(rows)
