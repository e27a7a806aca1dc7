"""A supervised run as a driver does it: fit on the frozen table, measure the gain on its held-out rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kubefugu.trainer.v1 import trainer_pb2
from kubefugu_routing.policy import PolicyArtifact, load_artifact
from kubefugu_routing.svf.bundles import find_bundle
from kubefugu_trainer.driver.config import DriverConfig
from kubefugu_trainer.driver.gain import of_gain
from kubefugu_trainer.driver.inputs import factors_of, local_data, pool_table, sha256_of
from kubefugu_trainer.driver.report import Report
from kubefugu_trainer.driver.state import RunProgress, ServedReporter
from kubefugu_trainer.driver.storage import RunStore
from kubefugu_trainer.evaluation import metrics
from kubefugu_trainer.features.extract import FeatureSource
from kubefugu_trainer.outcomes.table import OutcomeTable
from kubefugu_trainer.runs.directory import RunDirectory
from kubefugu_trainer.supervised.config import TAUS, SupervisedConfig, SvfConfig
from kubefugu_trainer.supervised.run import SupervisedRun, training_rows


def train(config: DriverConfig, progress: RunProgress, reporter: ServedReporter, store: RunStore) -> tuple[Path, Report]:
    """See driver.main.Train."""
    table_path = local_data(config)
    table = pool_table(config, table_path)
    training_rows(table)
    settings, factors = _settings(config, table_path, table), factors_of(config)
    offsets = SvfConfig() if factors is not None else None
    source = FeatureSource(config.backbone.loadable, root=config.storage.directory / "features", reporter=reporter)
    run = RunDirectory(
        config.storage.directory / "run",
        config={
            **settings.model_dump(mode="json", exclude={"data", "backbone"}),
            "algorithm": "supervised",
            "data_sha256": table.sha256,
            "backbone_revision": source.backbone.info.revision,
            **({"svf": offsets.model_dump(mode="json"), "factors": factors.sha256} if offsets and factors else {}),
        },
    )
    progress.update(state=trainer_pb2.RUN_STATE_RUNNING, checkpoint_uri=store.uri(config.storage.directory / "run"))
    try:
        artifact = SupervisedRun(
            settings, table, source=source, run=run, reporter=reporter, svf=offsets, factors=factors
        ).execute()
    finally:
        run.close()
    progress.update(state=trainer_pb2.RUN_STATE_EVALUATING)
    return artifact, measure(config, artifact, table, source)


def _settings(config: DriverConfig, path: Path, table: OutcomeTable) -> SupervisedConfig:
    told = config.parameters
    temperature = told.get("temperature", "auto")
    return SupervisedConfig.model_validate(
        {
            "data": str(path),
            "backbone": config.backbone.loadable,
            "workers": table.workers,
            "input_format": config.input_format,
            "seed": config.seed,
            "epochs": int(told.get("maxEpochs", 40)),
            "taus": TAUS if temperature == "auto" else (float(temperature),),
            "cost_weight": float(told.get("costWeight", 0)),
        }
    )


def measure(config: DriverConfig, path: Path, table: OutcomeTable, source: FeatureSource) -> Report:
    """Gain over the best single worker on the rows of the split test, with its interval (bootstrap over questions)."""
    artifact = load_artifact(path)
    test = table.take(table.rows("test"))
    if not len(test):
        return Report(
            reason="Trained",
            message="The table has no rows of the split test: the gain is not measured.",
            artifact_uri=path.as_uri(),
            artifact_sha256=sha256_of(path),
            data_sha256=config.data.sha256,
        )
    variant = None
    if artifact.has_offsets and artifact.factors is not None:
        prefixes = (artifact.factors.uri,) if artifact.factors.uri else ()
        bundle = find_bundle(artifact.factors, beside=path, allowed_prefixes=prefixes)
        variant = source.engine.variant(artifact.offsets, bundle)
    features = source.features(test.messages, artifact.input_format, num_agents=artifact.num_agents, variant=variant)
    rows = [[row.name for row in artifact.workers].index(name) for name in table.workers]
    choices = np.asarray(features @ artifact.head[rows].T).argmax(axis=1)
    fit = training_rows(table)
    best = metrics.best_single(fit.scores)
    got, single = metrics.chosen(test.scores, choices), test.scores[:, best]
    message = f"Best single worker: {table.workers[best]}.{_of_offsets(config, artifact)}"
    return of_gain(config, path, got, single, message=message)


def _of_offsets(config: DriverConfig, artifact: PolicyArtifact) -> str:
    """What became of the offsets, where they were asked for."""
    if not config.parameters.get("trainOffsets"):
        return ""
    return " The offsets are part of it." if artifact.has_offsets else " The offsets gained nothing and stay zero."
