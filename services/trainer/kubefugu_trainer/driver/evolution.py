"""A sep-CMA-ES run as a driver does it: a supervised warm start where asked for, the search, the gain on held-out rows."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from kubefugu.trainer.v1 import trainer_pb2
from kubefugu_trainer.driver import supervised
from kubefugu_trainer.driver.config import DriverConfig
from kubefugu_trainer.driver.inputs import factors_of, local_data, pool_table
from kubefugu_trainer.driver.report import Report
from kubefugu_trainer.driver.settings import broker_of
from kubefugu_trainer.driver.state import RunProgress, ServedReporter
from kubefugu_trainer.driver.storage import RunStore
from kubefugu_trainer.evolution.assemble import Order, configuration, execute
from kubefugu_trainer.evolution.config import EvolutionConfig
from kubefugu_trainer.evolution.run import Limits, Progress

_STATES = {
    "running": trainer_pb2.RUN_STATE_RUNNING,
    "evaluating": trainer_pb2.RUN_STATE_EVALUATING,
    "succeeded": trainer_pb2.RUN_STATE_EVALUATING,  # the servicer says succeeded when the artifact can be collected
}


def train(config: DriverConfig, progress: RunProgress, reporter: ServedReporter, store: RunStore) -> tuple[Path, Report]:
    """See driver.main.Train."""
    if config.parameters.get("fitness", "Table") == "Episodes":
        from kubefugu_trainer.driver import episodes

        return episodes.train(config, progress, reporter, store)
    settings = settings_of(config)
    broker = broker_of(config)
    bundle = factors_of(config)
    path = local_data(config)
    table = pool_table(config, path)
    directory = config.storage.directory
    init = None
    if config.parameters.get("warmStart", True):
        init = warm_start(config, progress, reporter, store)
    order = Order(
        data=path, backbone=config.backbone.loadable, out=directory / "run", init=init, workers=table.workers,
        input_format="auto" if init else config.input_format, broker=broker, bundle=bundle, confidence=config.level,
    )  # fmt: skip
    limits = Limits(threading.Event(), max_seconds=config.budget.max_seconds)
    artifact = execute(settings, order, reporter=reporter, limits=limits, table=table, on_progress=served(progress, store))
    return artifact, _report(config, artifact)


def served(progress: RunProgress, store: RunStore) -> Callable[[Progress], None]:
    """Takes the search's progress over into the served one; a generation's end is a safe point."""

    def update(now: Progress) -> None:
        progress.update(
            state=_STATES[now.state],
            mean_fitness=now.mean_fitness,
            best_fitness=now.best_fitness,
            sigma=now.sigma,
            checkpoint_uri=store.uri(Path(now.checkpoint)),
        )
        store.safe()

    return update


def settings_of(config: DriverConfig) -> EvolutionConfig:
    """The search's parameters. Raises DataError that names the field."""
    told = config.parameters
    return configuration(
        generations=int(told.get("iterations", 60)),
        population=int(told.get("populationSize", 0)) or None,
        sigma=float(told.get("initialStepSize", 0.03)),
        seed=config.seed,
        batch=int(told.get("episodesPerCandidate", 16)),
        offsets="layer" if told.get("trainOffsets") else "none",
        entropy_weight=float(told.get("entropyBonus", 0.15)),
        cost_weight=float(told.get("costWeight", 0)),
    )


def warm_start(config: DriverConfig, progress: RunProgress, reporter: ServedReporter, store: RunStore) -> Path:
    """A supervised head on the same table, in a folder of its own."""
    storage = config.storage.model_copy(update={"directory": config.storage.directory / "warm-start"})
    table = config.data.model_copy(update={"location": str(local_data(config))})
    warm = config.model_copy(update={"storage": storage, "parameters": {}, "data": table})
    artifact, _ = supervised.train(warm, progress, reporter, store)
    return artifact


def _report(config: DriverConfig, artifact: Path) -> Report:
    common: dict[str, Any] = {
        "reason": "Trained",
        "artifact_uri": artifact.as_uri(),
        "artifact_sha256": hashlib.sha256(artifact.read_bytes()).hexdigest(),
        "data_sha256": config.data.sha256,
    }
    figures = orjson.loads((artifact.parent / "report.json").read_bytes())
    if figures["split"] != "test":
        return Report(**common, message="The table has no rows of the split test: the gain is not measured.")
    low, high = figures["gain_over_best_single_ci"]
    return Report(
        **common,
        message=(
            f"Best single worker: {figures['best_single']}. The start scored {figures['start_score']:.4f}; "
            f"p against it {figures['p_vs_start']:.3g}."
        ),
        score=figures["score"],
        baseline=figures["best_single_score"],
        gain=figures["gain_over_best_single"],
        gain_low=low,
        gain_high=high,
        items=figures["items"],
    )
