"""A GRPO run as a driver does it: warm start, search, GRPO with plans that live workers execute, the gain over a single one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from pydantic import ValidationError

from kubefugu.trainer.v1 import trainer_pb2
from kubefugu_core.errors import DataError
from kubefugu_core.pool import WorkerPool, load_pool
from kubefugu_trainer.driver.config import DriverConfig
from kubefugu_trainer.driver.gain import of_gain
from kubefugu_trainer.driver.inputs import local_data
from kubefugu_trainer.driver.questions import counted, split_counts
from kubefugu_trainer.driver.report import Report
from kubefugu_trainer.driver.settings import DriverSettings, broker_of, keys_of_workers
from kubefugu_trainer.driver.size import check_size
from kubefugu_trainer.driver.state import RunProgress, ServedReporter
from kubefugu_trainer.driver.storage import RunStore
from kubefugu_trainer.grpo.checkpoints import newest
from kubefugu_trainer.grpo.config import ConductorConfig
from kubefugu_trainer.grpo.items import offered
from kubefugu_trainer.grpo.model import found_device, trained_tensors
from kubefugu_trainer.grpo.run import ConductorRun, Surroundings
from kubefugu_trainer.runs.directory import RunDirectory

_STAGES = {
    "before": "Held-out questions, before GRPO.",
    "found": "Held-out questions, after the search.",
    "after": "Held-out questions, trained.",
    "warm start": "Warm start: the form of a plan.",
    "search": "Search: random plans that turn out right.",
    "found plans": "Warm start on the plans that were found.",
    "grpo": "GRPO.",
    "single workers": "Single workers, for comparison.",
}
_MEASURING = ("after", "single workers")


def train(config: DriverConfig, progress: RunProgress, reporter: ServedReporter, store: RunStore) -> tuple[Path, Report]:
    """See driver.main.Train."""
    broker = broker_of(config)
    questions = local_data(config)
    pool = load_pool(config.pool)
    settings = configuration(config, questions, pool)
    told = _Told(config, progress, store)
    around = Surroundings(
        device=found_device(DriverSettings().device),
        broker=broker,
        keys=keys_of_workers(),
        max_seconds=config.budget.max_seconds,
        max_cost_usd=config.budget.max_cost_usd,
        compare_single=True,
        on_record=told.record,
        on_safe=told.safe,
    )
    run = RunDirectory(
        config.storage.directory / "run",
        config={
            **settings.model_dump(mode="json", exclude={"tasks"}),
            "algorithm": "conductor",
            "data_sha256": config.data.sha256,
            "workers": list(config.workers),
            "pool": [[spec.name, spec.model] for spec in pool.spec.workers],
        },
    )
    try:
        conductor = ConductorRun(
            settings, pool, run=run, reporter=_Sentences(reporter, progress), stop=threading.Event(),
            workers=config.workers or None, around=around,
        )  # fmt: skip
        told.budget = conductor.budget
        told.go_on(run.metrics.read())
        told.safe()
        artifact = conductor.execute(check=lambda model: check_size(trained_tensors(model, settings), url=config.storage.url))
    finally:
        run.close()
    progress.update(total_steps=settings.steps, step=_steps_done(artifact), cost_usd=conductor.budget.cost_usd)
    return artifact, measure(config, settings, artifact, ended=conductor.budget.over)


def configuration(config: DriverConfig, questions: Path, pool: WorkerPool) -> ConductorConfig:
    """The run's parameters. Raises DataError that names the field."""
    told = config.parameters
    lora = told.get("adapter", "Full") == "LoRA"
    workers = offered(pool, config.workers or None)
    per_step, group = int(told.get("questionsPerStep", 4)), int(told.get("groupSize", 64))
    counts = split_counts(
        counted(questions), training=int(told.get("questions", 0)), held_out=int(told.get("heldOut", 0)), at_least=per_step
    )
    rank, warm_lr = int(told.get("rank", 16)), float(told.get("warmLearningRate", 0))
    most = int(told.get("mostWorkers", 0)) or len(workers)
    values: dict[str, Any] = {
        "backbone": config.backbone.loadable,
        "tasks": str(questions),
        "questions": counts.training,
        "held_out": counts.held_out,
        "measure_sampled": False,
        "offer_all": True,
        "seed": config.seed,
        "dtype": str(told.get("dtype", "Float32")).lower(),
        "adapter": "lora" if lora else "full",
        "rank": rank,
        "alpha": 2 * rank,
        "layers": int(told.get("layers", 0)),
        "max_steps": int(told.get("maxSteps", 5)),
        "max_tokens": int(told.get("maxTokens", 160)),
        "least_workers": min(int(told.get("leastWorkers", 3)), most),
        "most_workers": most,
        "warm_examples": int(told.get("warmExamples", 256)),
        "warm_epochs": int(told.get("warmEpochs", 2)),
        "warm_lr": warm_lr or (5e-4 if lora else 1e-5),
        "search_tries": int(told.get("searchTries", 0)),
        "steps": int(told.get("steps", 200)),
        "questions_per_step": per_step,
        "group": group,
        "micro_batch": _divisor(per_step * group, int(told.get("microBatch", 8))),
        "lr": float(told.get("learningRate", 1e-6)),
        "temperature": float(told.get("temperature", 1)),
        "answer_tokens": int(told.get("answerTokens", 0)),
        "cost_weight": float(told.get("costWeight", 0)),
        "oversample": int(told.get("oversample", 1)),
        "save_every": int(told.get("saveEvery", 10)),
    }
    try:
        return ConductorConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{field}: {first['msg']}", field=field) from error


def _divisor(batch: int, most: int) -> int:
    """Largest divisor of the batch that is at most `most`."""
    return next(size for size in range(min(batch, max(1, most)), 0, -1) if batch % size == 0)


def measure(config: DriverConfig, settings: ConductorConfig, artifact: Path, *, ended: str = "") -> Report:
    """Mean scores on held-out questions: greedy plans of the trained Conductor, and the best single worker.

    A question's score is its verifier's, for both; a text that is no valid plan scores 0. The worker is chosen on training
    questions, and answers as a plan of one step.
    """
    run = artifact.parent
    after = orjson.loads((run / "held_out_after.json").read_bytes())["greedy"]
    before = orjson.loads((run / "held_out_before.json").read_bytes())["greedy"]
    single = orjson.loads((run / "single.json").read_bytes())
    got, other = np.asarray(after["scores"], dtype=np.float64), np.asarray(single["scores"], dtype=np.float64)
    early = (
        f" The budget ({ended}) ended training after {_steps_done(artifact)} of {settings.steps} GRPO steps." if ended else ""
    )
    message = (
        f"Best single worker: {single['best']}. Reward of held-out plans: {before['reward']:.4f} before GRPO, "
        f"{after['reward']:.4f} after; {100 * after['valid']:.1f} % valid.{early}"
    )
    return of_gain(config, artifact, got, other, message=message)


def _steps_done(artifact: Path) -> int:
    return int(orjson.loads((artifact.parent / "report.json").read_bytes())["steps_done"])


class _Sentences:
    """Reporter that puts stages into words for people; measuring is a state of its own."""

    def __init__(self, inner: ServedReporter, progress: RunProgress) -> None:
        self._inner = inner
        self._progress = progress

    def start(self, stage: str, *, total: int, done: int = 0) -> None:
        """See Reporter."""
        measuring = stage in _MEASURING
        self._progress.update(state=trainer_pb2.RUN_STATE_EVALUATING if measuring else trainer_pb2.RUN_STATE_RUNNING)
        self._inner.start(_STAGES.get(stage, stage), total=total, done=done)

    def advance(self, steps: int = 1, **fields: Any) -> None:
        """See Reporter."""
        self._inner.advance(steps, **fields)

    def note(self, text: str) -> None:
        """See Reporter."""
        self._inner.note(text)

    def finish(self) -> None:
        """See Reporter."""
        self._inner.finish()


class _Told:
    """Takes the run's metrics and safe points over into the served progress."""

    def __init__(self, config: DriverConfig, progress: RunProgress, store: RunStore) -> None:
        self._store = store
        self._folder = config.storage.directory / "run" / "checkpoints"
        self._progress = progress
        self._best = 0.0
        self.budget: Any = None

    def record(self, line: dict[str, Any]) -> None:
        """A line of the metrics: the mean reward of a step's plans is its fitness."""
        if self.budget is not None:
            self._progress.update(cost_usd=self.budget.cost_usd)
        if line["stage"] == "rollouts":
            self._best = max(self._best, line["reward"])
            self._progress.update(mean_fitness=line["reward"], best_fitness=self._best)

    def go_on(self, lines: Sequence[dict[str, Any]]) -> None:
        """Take in what an earlier attempt told."""
        self._best = max((line["reward"] for line in lines if line["stage"] == "rollouts"), default=0.0)

    def safe(self) -> None:
        """There is something new to go on from."""
        found = newest(self._folder)
        if found is not None:
            self._progress.update(checkpoint_uri=self._store.uri(found))
        self._store.safe()
