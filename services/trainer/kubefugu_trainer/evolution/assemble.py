"""Wires a run from what was ordered: table, backbone, start, evaluator, run directory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kubefugu_core.errors import DataError
from kubefugu_core.settings import cache_home
from kubefugu_routing.policy import load_artifact
from kubefugu_routing.policy.artifact import FactorRef
from kubefugu_trainer.evolution.config import EvolutionConfig
from kubefugu_trainer.evolution.evaluators import Evaluator, InProcessEvaluator
from kubefugu_trainer.evolution.fitness import Fitness, make_fitness
from kubefugu_trainer.evolution.holdout import TableJudge
from kubefugu_trainer.evolution.prepare import Prepared, prepare, starting_artifact
from kubefugu_trainer.evolution.run import EvolutionRun, Limits, Progress
from kubefugu_trainer.features.extract import FeatureSource
from kubefugu_trainer.outcomes.reader import read_table
from kubefugu_trainer.outcomes.table import OutcomeTable
from kubefugu_trainer.runs.directory import RunDirectory
from kubefugu_trainer.runs.progress import Reporter
from kubefugu_trainer.supervised.run import training_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Where a run's inputs are and where its facts go."""

    data: Path
    backbone: str
    out: Path
    init: Path | None = None
    workers: tuple[str, ...] | None = None
    input_format: str = "auto"
    broker: str | None = None
    """Redis URL of the evaluators' broker; None: candidates are measured in this process."""
    threads: int = 0
    bundle: FactorRef | None = None
    """Published factors that offsets are searched in; None: those of the start, else this machine's."""
    confidence: float = 0.95


def configuration(**values: Any) -> EvolutionConfig:
    """A checked configuration. Raises DataError that names the field."""
    try:
        return EvolutionConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{field}: {first['msg']}", field=field) from error


def execute(
    config: EvolutionConfig,
    order: Order,
    *,
    reporter: Reporter,
    limits: Limits,
    table: OutcomeTable | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Path:
    """Run to the end; returns the artifact's path. `table`: the order's data, read before.

    Raises what EvolutionRun.execute raises, and DataError for wrong inputs.
    """
    table = table or read_table(order.data, workers=order.workers)
    for sentence in table.notes:
        reporter.note(sentence)
    training_rows(table)  # refused before a backbone is loaded
    if config.subset > len(table.workers):
        raise DataError(f"subset is {config.subset}, the table has {len(table.workers)} workers", field="subset")
    if order.input_format not in ("auto", "raw", "chat"):
        raise DataError(f"--format takes auto, raw or chat, not {order.input_format!r}.", field="format")
    init_file = artifact_of(order.init) if order.init is not None else None
    init = load_artifact(init_file) if init_file else None
    source = FeatureSource(order.backbone, root=cache_home() / "features", reporter=reporter, threads=order.threads or None)
    template = starting_artifact(table, source, init, order.input_format, bundle=order.bundle)
    run = RunDirectory(
        order.out,
        config={
            **config.model_dump(mode="json"),
            "algorithm": "sep-cma-es",
            "workers": list(table.workers),
            "input_format": template.input_format.value,
            "data_sha256": table.sha256,
            "backbone_revision": source.backbone.info.revision,
            "init_sha256": hashlib.sha256(init_file.read_bytes()).hexdigest() if init_file else "",
        },
    )
    try:
        prepared = prepare(
            config, table, source=source, backbone=order.backbone, template=template, beside=init_file, run=run,
            threads=order.threads or default_threads(),
        )  # fmt: skip
        use_threads(prepared.problem.threads)
        fitness = _Once(lambda: make_fitness(prepared.problem, lambda: source.engine))
        evaluator = _evaluator(order, prepared, fitness, run, limits, reporter)
        judge = TableJudge(
            table, start=prepared.start, logits=lambda: fitness().logits, seed=config.seed, confidence=order.confidence
        )
        try:
            return EvolutionRun(
                config, prepared, evaluator=evaluator, judge=judge, run=run, reporter=reporter, limits=limits,
                on_progress=on_progress,
            ).execute()  # fmt: skip
        finally:
            evaluator.close()
    finally:
        run.close()


def artifact_of(init: Path) -> Path:
    """The artifact's file: itself, or that of a run directory."""
    from kubefugu_trainer.evaluation.run import artifact_file  # brings scikit-learn, seconds to import

    return artifact_file(init)


def default_threads() -> int:
    """Torch's number of threads."""
    import torch

    return int(torch.get_num_threads())


def use_threads(threads: int) -> None:
    """As many as the run began with, on whatever machine it goes on: the last bits depend on it."""
    import torch

    torch.set_num_threads(threads)


def _evaluator(
    order: Order, prepared: Prepared, fitness: Callable[[], Fitness], run: RunDirectory, limits: Limits, reporter: Reporter
) -> Evaluator:
    if order.broker is None:
        return InProcessEvaluator(fitness())
    from kubefugu_trainer.queue.candidates import CeleryEvaluator
    from kubefugu_trainer.queue.tasks import run_identity

    return CeleryEvaluator(
        order.broker, run_id=run_identity(run.path), problem=prepared.problem, stop=limits.stop, reporter=reporter
    )


class _Once:
    """Makes the fitness when it is first needed: with a broker the driver needs it only at the end."""

    def __init__(self, make: Callable[[], Fitness]) -> None:
        self._make = make
        self._made: Fitness | None = None

    def __call__(self) -> Fitness:
        if self._made is None:
            self._made = self._make()
        return self._made
