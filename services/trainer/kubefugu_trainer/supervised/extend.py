"""Adds a worker to a trained artifact: reads what there is about it, fits its row, writes the new artifact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubefugu_core.errors import DataError
from kubefugu_routing.policy import PolicyArtifact, WorkerRow, bind
from kubefugu_routing.svf.bundles import find_bundle
from kubefugu_trainer.features.extract import FeatureSource
from kubefugu_trainer.outcomes.table import OutcomeTable
from kubefugu_trainer.supervised.folds import make_folds
from kubefugu_trainer.supervised.rows import FittedRow, from_description, from_outcomes, with_row

_FEWEST_ROWS = 20
_FOLDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWorker:
    """The worker that is added."""

    name: str
    model: str
    """Model id; empty: the table's, else the name."""
    description: str = ""


class Extension:
    """One artifact and the source of its features."""

    def __init__(self, artifact: PolicyArtifact, *, source: FeatureSource, seed: int = 42) -> None:
        """Raises ArtifactRefusedError where the backbone is another one."""
        bind(artifact, source.backbone.info)
        self._artifact, self._source, self._seed = artifact, source, seed
        self._variant = None
        if artifact.has_offsets and artifact.factors is not None:
            self._variant = source.engine.variant(artifact.offsets, find_bundle(artifact.factors))

    def from_outcomes(self, worker: NewWorker, table: OutcomeTable) -> PolicyArtifact:
        """The artifact with a row fitted from the training rows of a table that has the new worker and some of the others."""
        artifact = self._artifact
        if worker.name not in table.workers:
            raise DataError(
                f"{table.source}: no column 'score:{worker.name}'; the table has scores of: {', '.join(table.workers)}",
                field=f"score:{worker.name}",
            )
        both = [row.name for row in artifact.workers if row.name in table.workers and row.name != worker.name]
        if not both:
            raise DataError(
                f"{table.source}: a row is fitted by comparison, so the table needs scores of a worker that the artifact has: "
                f"{', '.join(row.name for row in artifact.workers)}",
                field="data",
            )
        own = table.select_workers([*both, worker.name])
        own = own.take(np.sort(np.concatenate([own.rows("train"), own.rows("valid")])))
        if len(own) < _FEWEST_ROWS:
            raise DataError(f"{table.source}: {len(own)} training rows are too few for a row, {_FEWEST_ROWS} are needed")
        names = [row.name for row in artifact.workers]
        features = self._features(own)
        folds = make_folds(own.messages, own.groups, folds=_FOLDS, rng=np.random.default_rng([self._seed, *b"add"]))
        fitted = from_outcomes(
            features, own.scores, own.groups, artifact.head[[names.index(name) for name in both]], folds, seed=self._seed
        )
        model = worker.model or str(table.provenance.get("models", {}).get(worker.name, worker.name))
        provenance = {**fitted.provenance, "data_sha256": table.sha256}
        return with_row(artifact, WorkerRow(worker.name, model), FittedRow(row=fitted.row, provenance=provenance))

    def from_description(self, worker: NewWorker, descriptions: Mapping[str, str]) -> PolicyArtifact:
        """The artifact with a row from what the workers are said to be good at. Raises DataError where too little is said."""
        names = [row.name for row in self._artifact.workers]
        described = [name for name in names if descriptions.get(name, "").strip()]
        if not worker.description.strip() or not described:
            raise DataError(
                "A row from descriptions needs a description of the new worker (--description) and of trained ones (--pool).",
                field="description",
            )
        texts = [descriptions[name] for name in described] + [worker.description]
        features = self._source.features(
            [(("user", text),) for text in texts], self._artifact.input_format, num_agents=self._artifact.num_agents,
            variant=self._variant,
        )  # fmt: skip
        rows = self._artifact.head[[names.index(name) for name in described]]
        fitted = from_description(features, rows, described, worker.description)
        return with_row(self._artifact, WorkerRow(worker.name, worker.model or worker.name), fitted)

    def _features(self, table: OutcomeTable) -> NDArray[np.float32]:
        return self._source.features(
            table.messages, self._artifact.input_format, num_agents=self._artifact.num_agents, variant=self._variant
        )
