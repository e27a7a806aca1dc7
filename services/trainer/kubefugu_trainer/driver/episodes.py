"""A sep-CMA-ES run on live episodes: every worker is asked every question once, which gives stage 1 and the best single worker;
then the search plays episodes with the pool, here or by evaluators.
"""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import orjson

from kubefugu.trainer.v1 import trainer_pb2
from kubefugu_core.errors import DataError
from kubefugu_core.pool import WorkerPool, load_pool
from kubefugu_routing.policy import save_artifact
from kubefugu_trainer.driver import evolution
from kubefugu_trainer.driver.config import DriverConfig
from kubefugu_trainer.driver.gain import of_gain
from kubefugu_trainer.driver.inputs import local_data, sha256_of
from kubefugu_trainer.driver.questions import counted, split_counts
from kubefugu_trainer.driver.report import Report
from kubefugu_trainer.driver.settings import broker_of, keys_of_workers
from kubefugu_trainer.driver.state import RunProgress, ServedReporter
from kubefugu_trainer.driver.storage import RunStore
from kubefugu_trainer.episodes.assemble import EpisodeOrder, episode_configuration, execute
from kubefugu_trainer.episodes.config import EpisodeConfig
from kubefugu_trainer.episodes.questions import questions_of
from kubefugu_trainer.evaluation import metrics
from kubefugu_trainer.evolution.prepare import starting_artifact
from kubefugu_trainer.evolution.run import Limits
from kubefugu_trainer.features.extract import FeatureSource
from kubefugu_trainer.outcomes.measure import Plan, measure
from kubefugu_trainer.outcomes.reader import read_table
from kubefugu_trainer.outcomes.table import OutcomeTable
from kubefugu_trainer.runs.files import write_json
from kubefugu_trainer.supervised.run import FEWEST_ROWS
from kubefugu_trainer.tasks.sets import SplitQuestion

_ANSWER_TOKENS = 64
"""Longest reply where the run does not say it."""


def train(config: DriverConfig, progress: RunProgress, reporter: ServedReporter, store: RunStore) -> tuple[Path, Report]:
    """See driver.main.Train."""
    if config.budget.max_cost_usd:
        raise DataError("Live episodes have no count of what they cost: leave maxCostUsd at 0.", field="maxCostUsd")
    settings, broker = evolution.settings_of(config), broker_of(config)
    if settings.offsets != "none":
        raise DataError("Live episodes search over heads: trainOffsets must be false.", field="trainOffsets")
    episodes = configuration(config)
    directory = config.storage.directory
    pool = chosen_pool(config)
    replies = directory / "run" / "replies.sqlite"
    progress.update(state=trainer_pb2.RUN_STATE_RUNNING)
    table_file = outcomes(config, episodes, pool, replies=replies, reporter=reporter)
    store.safe()
    measured = config.data.model_copy(update={"location": str(table_file), "sha256": sha256_of(table_file)})
    on_table = config.model_copy(update={"data": measured})
    table = read_table(table_file)
    if config.parameters.get("warmStart", True):
        init = evolution.warm_start(on_table, progress, reporter, store)
    else:
        init = _blank(config, table, reporter)
    order = EpisodeOrder(
        pool=directory / "pool.yaml", init=init, out=directory / "run", backbone=config.backbone.loadable, replies=replies,
        broker=broker, confidence=config.level, keys=keys_of_workers(),
    )  # fmt: skip
    limits = Limits(threading.Event(), max_seconds=config.budget.max_seconds)
    artifact = execute(
        settings, episodes, order, reporter=reporter, limits=limits, on_progress=evolution.served(progress, store)
    )
    return artifact, _report(config, artifact, table)


def configuration(config: DriverConfig) -> EpisodeConfig:
    """What an episode is, and how many questions are for what. Raises DataError that names the field."""
    told, file = config.parameters, local_data(config)
    least = FEWEST_ROWS if told.get("warmStart", True) else 1
    counts = split_counts(
        counted(file, plain=False), training=int(told.get("questions", 0)), held_out=int(told.get("heldOut", 0)), at_least=least
    )
    return episode_configuration(
        tasks=str(file),
        train=counts.training,
        held_out=counts.held_out,
        task_seed=config.seed,
        turns=int(told.get("maxTurns", 5)),
        max_tokens=int(told.get("answerTokens", 0)) or _ANSWER_TOKENS,
        turn_weight=float(told.get("turnBonus", 0.10)),
    )


def chosen_pool(config: DriverConfig) -> WorkerPool:
    """The pool with the run's workers alone, also left as pool.yaml in the run's directory. Raises DataError."""
    pool = load_pool(config.pool)
    workers = [spec for spec in pool.spec.workers if not config.workers or spec.name in config.workers]
    if len(workers) < 2:
        raise DataError(f"A router needs at least two workers, the run has {len(workers)}.", field="workers")
    pool = pool.model_copy(update={"spec": pool.spec.model_copy(update={"workers": tuple(workers)})})
    write_json(config.storage.directory / "pool.yaml", pool.model_dump(mode="json", by_alias=True, exclude_none=True))
    return pool


def outcomes(
    config: DriverConfig, episodes: EpisodeConfig, pool: WorkerPool, *, replies: Path, reporter: ServedReporter
) -> Path:
    """Table of every worker's answer to every question, training and held-out ones; goes on where an earlier attempt ended."""
    file = config.storage.directory / "outcomes.parquet"
    if file.is_file():
        return file
    drawn = questions_of(episodes)
    rows = [
        SplitQuestion(question=question, split="train" if number < drawn.train else "test", slice="file")
        for number, question in enumerate(drawn.questions)
    ]
    plan = Plan(
        tasks="questions", n=len(rows), repeats=1, split="auto", workers=None, max_tokens=episodes.max_tokens, temperature=0.0,
        seed=config.seed,
    )  # fmt: skip
    keys = keys_of_workers()
    asyncio.run(measure(pool, plan, out=file, reporter=reporter, replies=replies, rows=rows, keys=keys))
    return file


def _blank(config: DriverConfig, table: OutcomeTable, reporter: ServedReporter) -> Path:
    """A head of zeros, where no warm start is wanted."""
    file = config.storage.directory / "blank.safetensors"
    if not file.is_file():
        source = FeatureSource(config.backbone.loadable, root=config.storage.directory / "features", reporter=reporter)
        save_artifact(file, starting_artifact(table, source, None, config.input_format))
    return file


def _report(config: DriverConfig, artifact: Path, table: OutcomeTable) -> Report:
    """Held-out episodes, as served, against the answers of the worker that is best on the training questions."""
    figures = orjson.loads((artifact.parent / "report.json").read_bytes())
    fit, test = table.take(table.rows("train")), table.take(table.rows("test"))
    best = metrics.best_single(fit.scores)
    got, single = np.asarray(figures["rewards"], dtype=np.float64), test.scores[:, best]
    message = (
        f"Best single worker: {table.workers[best]}. {figures['turns']:.2f} turns an episode; the start scored "
        f"{figures['start_score']:.4f}; p against it {figures['p_vs_start']:.3g}."
    )
    return of_gain(config, artifact, got, single, message=message)
