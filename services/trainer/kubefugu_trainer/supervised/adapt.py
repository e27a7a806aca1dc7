"""The stage of a supervised run that moves offsets: picks rows, computes what enters the layer, keeps result and bundle.

It starts from the head of the first fold, which has not seen that fold's validation rows: they say when to stop and judge.
What was judged is what is written, so the head beside kept offsets is the moved head of that fold, not the mean over folds.
A run that is cut off in this stage begins the stage again; one that is cut off after it does not.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from kubefugu_core.errors import DataError, InvalidRequestError
from kubefugu_routing.formats import RouterFormat
from kubefugu_routing.policy.artifact import FactorRef
from kubefugu_routing.svf import LAYER_BLOCKS, SvfOffsets, TieMode, default_layer
from kubefugu_routing.svf.bundles import find_bundle
from kubefugu_routing.svf.factors import FactorBundle, make_bundle
from kubefugu_trainer.features.extract import FeatureSource
from kubefugu_trainer.outcomes.table import OutcomeTable
from kubefugu_trainer.runs.artifacts import keep_bundle
from kubefugu_trainer.runs.directory import RunDirectory
from kubefugu_trainer.runs.progress import Reporter
from kubefugu_trainer.supervised.basis import fit_basis
from kubefugu_trainer.supervised.config import SvfConfig
from kubefugu_trainer.supervised.fit import Setting
from kubefugu_trainer.supervised.folds import Mix, Problem, make_folds, mixed_reward
from kubefugu_trainer.supervised.offsets import AdaptedLayer, Parts, Task, fit_offsets, logits_of
from kubefugu_trainer.supervised.targets import targets

IntArray = NDArray[np.int64]
_STATE_BYTES = 2 << 30
"""Bound of the kept hidden states, whatever the number of rows: transcripts may be long."""
_FIT_SHARE = 0.7
"""Of the rows, at most, are fitted on."""
_NAME = "offsets"


@dataclass(frozen=True, slots=True)
class FoldHead:
    """Where the stage starts."""

    head: NDArray[np.float32]
    """(L, d), of the chosen kind."""
    valid: IntArray
    """Training rows that it has not seen."""
    mix: Mix
    setting: Setting


@dataclass(frozen=True, slots=True)
class Adapted:
    """What is written into the artifact."""

    head: NDArray[np.float32]
    offsets: SvfOffsets | None = None
    factors: FactorRef | None = None


class OffsetsStage:
    """See the module."""

    def __init__(
        self,
        config: SvfConfig,
        *,
        source: FeatureSource,
        run: RunDirectory,
        reporter: Reporter,
        rng: np.random.Generator,
        factors: FactorRef | None = None,
    ) -> None:
        """`factors`: published ones, that the artifact will name; None: this machine's own, left beside the artifact."""
        self._config, self._source, self._run, self._reporter, self._rng = config, source, run, reporter, rng
        self._factors = factors
        self._layer = default_layer(source.backbone.info)
        self.figures: dict[str, Any] = {}
        """What `execute` measured."""

    def execute(self, table: OutcomeTable, fmt: RouterFormat, problem: Problem, fitted: FoldHead) -> Adapted | None:
        """Move a fold's head and offsets on rows of the training table; None: the offsets gain nothing."""
        arrays = self._run.load(_NAME)
        if arrays is None:
            arrays = self._fit(table, fmt, problem, fitted)
            self._run.save(_NAME, **arrays)
        self.figures = json.loads(str(arrays["figures"]))
        self._run.metrics.append({"event": "offsets", **self.figures})
        if not self.figures["kept"]:
            self._reporter.note(f"The offsets stay zero and the head as it was: {self.figures['why_not']}.")
            return None
        blocks = {name: arrays[name] for name in LAYER_BLOCKS}
        offsets = SvfOffsets(layer=self._layer, tie_mode=TieMode.AUTHOR, blocks=blocks)
        return Adapted(arrays["head"], offsets, self._factors or FactorRef(uri="", sha256=str(arrays["bundle"])))

    def _fit(self, table: OutcomeTable, fmt: RouterFormat, problem: Problem, fitted: FoldHead) -> dict[str, NDArray[Any]]:
        rows, states = self._states(table, fmt, fitted.valid)
        bundle = self._bundle()
        layer = AdaptedLayer(self._source.engine, bundle, states)
        task = self._task(table.take(rows), rows, problem, fitted)
        self._reporter.start(f"{_NAME}, epochs", total=2 * self._config.epochs)
        try:
            found = fit_offsets(layer, task, self._config, rng=self._rng, advance=self._reporter.advance)
        finally:
            self._reporter.finish()
        judge = task.parts.judge
        arrays: dict[str, NDArray[Any]] = {
            "figures": np.array(json.dumps(dict(found.figures))), "head": found.head, "judged_rows": rows[judge],
            "judged_logits": logits_of(layer, found, judge), **found.blocks,
        }  # fmt: skip
        if found.blocks:
            arrays["bundle"] = np.array(keep_bundle(self._run.path, bundle).stem)
        return arrays

    def _bundle(self) -> FactorBundle:
        """The factors that offsets are moved in. Raises ArtifactRefusedError where the published ones do not fit."""
        if self._factors is None:
            return make_bundle(self._source.backbone, layer=self._layer)
        prefixes = (self._factors.uri,) if self._factors.uri else ()
        bundle = find_bundle(self._factors, allowed_prefixes=prefixes)
        bundle.check(self._source.backbone, LAYER_BLOCKS, layer=self._layer)
        return bundle

    def _picked(self, count: int, valid: IntArray) -> IntArray:
        """Rows to be used, in random order: a share of those outside `valid`, the others from inside."""
        outside = self._rng.permutation(np.setdiff1d(np.arange(count), valid))[: round(_FIT_SHARE * self._config.rows)]
        inside = self._rng.permutation(valid)[: self._config.rows - len(outside)]
        return self._rng.permutation(np.concatenate([outside, inside]))

    def _states(self, table: OutcomeTable, fmt: RouterFormat, valid: IntArray) -> tuple[IntArray, list[Tensor]]:
        """Rows that are used, and what enters the layer for each; rows that the router would refuse are left out."""
        picked = self._picked(len(table), valid)
        rows, states, size = [], [], 0
        self._reporter.start(f"{_NAME}, hidden states", total=len(picked))
        try:
            for row in picked.tolist():
                self._reporter.advance()
                try:
                    tokens = self._source.tokens(table.messages[row], fmt, num_agents=len(table.workers))
                except InvalidRequestError:
                    continue
                (state,) = self._source.engine.entering_states([tokens], self._layer)
                size += state.nbytes
                if size > _STATE_BYTES:
                    break
                rows.append(row)
                states.append(state)
        finally:
            self._reporter.finish()
        return np.array(rows, dtype=np.int64), states

    def _task(self, table: OutcomeTable, rows: IntArray, problem: Problem, fitted: FoldHead) -> Task:
        inside = np.flatnonzero(np.isin(rows, fitted.valid))
        asked = table.take(inside)
        halves = make_folds(asked.messages, asked.groups, folds=2, rng=self._rng)
        fit = np.flatnonzero(~np.isin(rows, fitted.valid))
        if len(halves) < 2 or not len(fit):
            raise DataError(f"{table.source}: offsets need more training questions that differ", field="svf")
        outside = np.setdiff1d(np.arange(len(problem.reward)), fitted.valid)
        seen = np.isin(problem.shifted_rows, outside)
        basis = fit_basis(problem.features[outside], shifts=problem.shifts[seen], strength=fitted.mix.strength)
        z = basis.encode(problem.features[rows[fit]])
        return Task(
            reward=problem.reward[rows],
            fit_targets=targets(mixed_reward(problem, rows[fit], z, fitted.mix), fitted.setting.tau),
            targets=targets(problem.reward[rows], fitted.setting.tau),
            parts=Parts(fit, inside[halves[1]], inside[halves[0]]),
            head=fitted.head,
            matrix=basis.matrix,
            penalty=fitted.setting.penalty,
        )
