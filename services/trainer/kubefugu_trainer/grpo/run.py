"""A whole Conductor run: base model -> format warm start -> GRPO -> held-out comparison -> artifact, report and curves.

Each stage leaves a file when it is done and is skipped when that file is there, so the same command goes on after any end.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import orjson

from kubefugu_coordination.workers.endpoint import KeySource
from kubefugu_core.errors import DataError
from kubefugu_core.pool import WorkerPool
from kubefugu_routing.causal.load import CausalModel
from kubefugu_trainer.evolution.stopping import RunStoppedError
from kubefugu_trainer.grpo.below import PlansBelow
from kubefugu_trainer.grpo.budget import Budget
from kubefugu_trainer.grpo.checkpoints import FOUND, WARM, newest
from kubefugu_trainer.grpo.config import ConductorConfig
from kubefugu_trainer.grpo.found_plans import find_plans
from kubefugu_trainer.grpo.items import Item, build_items, offered
from kubefugu_trainer.grpo.measure import measure, paired
from kubefugu_trainer.grpo.model import load_tensors, load_trainable, write_artifact
from kubefugu_trainer.grpo.rollouts import Below, PlanRunner, Rollout
from kubefugu_trainer.grpo.single import best_single
from kubefugu_trainer.grpo.warm_plans import warm_texts
from kubefugu_trainer.runs.directory import RunDirectory
from kubefugu_trainer.runs.files import write_json
from kubefugu_trainer.runs.progress import Reporter
from kubefugu_trainer.runs.replies import DiskReplyCache
from kubefugu_trainer.tasks.sets import question_files

_Result = TypeVar("_Result")
RunPlans = Callable[[Sequence[Item], Sequence[str]], list[Rollout]]
_CHOOSING = 50
"""Training questions that the best single worker is chosen on; as many as are held out where that is more."""


class ExecutesPlans(Protocol):
    """Where plans are executed."""

    def __call__(self, items: Sequence[Item], texts: Sequence[str]) -> list[Rollout]:
        """Execute plans, in order. Raises UnavailableError where the pool, or whoever asks it, can't be reached."""
        ...

    def close(self) -> None:
        """Let go of what is held."""
        ...


class LivePool:
    """Runs plans on an event loop of its own, because learner and sampler are not asynchronous."""

    def __init__(
        self,
        pool: WorkerPool,
        *,
        replies: Path,
        config: ConductorConfig,
        below: Below | None = None,
        keys: KeySource | None = None,
    ) -> None:
        """`replies`: file that keeps them. `keys`: of the workers; None: those that the pool's manifest names."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="rollouts", daemon=True)
        self._thread.start()
        self.cache, self._runner = self._wait(_open(pool, replies, config, below, keys))

    def _wait(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def __call__(self, items: Sequence[Item], texts: Sequence[str]) -> list[Rollout]:
        """Execute plans, in order. Raises what PlanRunner raises."""
        return self._wait(self._runner.run_all(items, texts))

    def close(self) -> None:
        """Close connections and end the loop."""
        self._wait(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        await self._runner.close()
        self.cache.close()


async def _open(
    pool: WorkerPool, replies: Path, config: ConductorConfig, below: Below | None, keys: KeySource | None
) -> tuple[DiskReplyCache, PlanRunner]:
    cache = DiskReplyCache(replies)  # in the loop's thread: SQLite's connections stay where they were made
    return cache, PlanRunner(
        pool, cache=cache, keys=keys, below=below, answer_tokens=config.answer_tokens, failover=config.failover
    )


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a run is given beside its configuration: nothing of it but the limits decides the result."""

    device: str = "cpu"
    threads: int | None = None
    broker: str | None = None
    """Redis URL: plans are executed by evaluator processes."""
    keys: KeySource | None = None
    """Keys of the workers; None: those that the pool's manifest names. Evaluators have keys of their own."""
    grpo_minutes: float = 0.0
    """GRPO's last step is the one that ends after so long; 0: all steps."""
    max_seconds: float = 0.0
    """Training time of all attempts; 0: no limit."""
    max_cost_usd: float = 0.0
    """What worker calls of training may cost in all attempts; 0: no limit."""
    compare_single: bool = False
    """The best single worker is measured on the held-out questions too, into single.json; needs `offer_all`."""
    on_record: Callable[[dict[str, Any]], None] = lambda _: None
    """Hears of each line of the metrics."""
    on_safe: Callable[[], None] = lambda: None
    """Called where the directory holds something new that a later process goes on from."""


_NOTHING = Surroundings()


class _Paid:
    """Puts what plans cost on the run's budget."""

    def __init__(self, execute: ExecutesPlans, budget: Budget) -> None:
        self._execute = execute
        self._budget = budget

    def __call__(self, items: Sequence[Item], texts: Sequence[str]) -> list[Rollout]:
        rollouts = self._execute(items, texts)
        self._budget.paid(items, texts, rollouts)
        return rollouts


class ConductorRun:
    """One run in one directory."""

    def __init__(
        self,
        config: ConductorConfig,
        pool: WorkerPool,
        *,
        run: RunDirectory,
        reporter: Reporter,
        stop: threading.Event,
        workers: Sequence[str] | None = None,
        init: Path | None = None,
        around: Surroundings = _NOTHING,
    ) -> None:
        """Raises DataError where evaluators could not do what the configuration asks for."""
        if around.broker is not None and config.gamma:
            raise DataError("Recursion needs the model in training, which evaluators do not have.", field="gamma")
        self._config = config
        self._around = around
        self._pool = pool
        self._run = run
        self._reporter = reporter
        self._stop = stop
        self._workers = offered(pool, workers)
        self._models = {spec.name: spec.model for spec in pool.spec.workers}
        self._init = init
        self._files = question_files(config.tasks)
        self.budget = Budget(run.path / "spent.json", max_seconds=around.max_seconds, max_cost_usd=around.max_cost_usd)

    def execute(self, *, check: Callable[[Any], None] = lambda _: None) -> Path:
        """Run what is left to do; returns the artifact. `check` sees the model before anything is done, and may raise.

        Raises RunStoppedError where a signal ended it at a safe point.
        """
        base, model = load_trainable(self._config, device=self._around.device, threads=self._around.threads)
        check(model)
        if self._init is not None:
            load_tensors(model, self._init, self._config)
        with closing(self._plans(base, model)) as pool:
            run_plans = _Paid(pool, self.budget)
            self._warm(base, model)
            measured = {"before": self._measured("before", base, model, run_plans)}
            if self._config.search_tries:
                self._search(base, model, run_plans)
                measured["found"] = self._measured("found", base, model, run_plans)
            self._grpo(base, model, run_plans)
            self.budget.end()
            measured["after"] = self._measured("after", base, model, run_plans)
            if self._around.compare_single:
                self._single(run_plans)
        return self._finish(base, model, measured)

    def _items(self, split: str, n: int) -> list[Item]:
        return build_items(self._config, self._workers, split=split, n=n, files=self._files)

    def _record(self, line: dict[str, Any]) -> None:
        self._run.metrics.append(line)
        self.budget.save()
        self._around.on_record(line)

    def _over(self) -> bool:
        return bool(self.budget.over)

    def _saved(self, _: Path) -> None:
        self._around.on_safe()

    def _plans(self, base: CausalModel, model: Any) -> ExecutesPlans:
        replies = self._run.path / "replies.sqlite"
        if self._around.broker is None:
            below = PlansBelow(base, model, self._config)
            return LivePool(self._pool, replies=replies, config=self._config, below=below, keys=self._around.keys)
        from kubefugu_trainer.queue.plans import CeleryRollouts, PlanProblem
        from kubefugu_trainer.queue.tasks import run_identity

        problem = PlanProblem(
            config=self._config,
            pool=self._pool.model_dump(mode="json", by_alias=True, exclude_defaults=True),
            workers=tuple(worker.name for worker in self._workers),
            replies=str(replies.absolute()),
            files=self._files,
        )
        return CeleryRollouts(
            self._around.broker, run_id=run_identity(self._run.path), problem=problem, stop=self._stop, reporter=self._reporter
        )

    def _warm(self, base: CausalModel, model: Any) -> None:
        """Teach the form."""
        config = self._config
        if config.warm_examples:
            items = self._items("warm", config.warm_examples)
            self._taught("warm", WARM, base, model, lambda: (items, warm_texts(items, config.seed)), config)

    def _search(self, base: CausalModel, model: Any, run_plans: RunPlans) -> None:
        """Teach what random plans have found out."""
        config = self._config

        def examples() -> tuple[list[Item], list[str]]:
            file = self._run.path / "found.json"
            items = self._items("train", config.questions)
            if not file.is_file():
                found = find_plans(
                    items[: config.search_questions or len(items)], tries=config.search_tries, seed=config.seed,
                    run_plans=run_plans, reporter=self._reporter, stop=self._stop, over=self._over,
                )  # fmt: skip
                write_json(file, [plan.to_json() for plan in found])
            plans = orjson.loads(file.read_bytes())
            return [items[plan["number"]] for plan in plans], [plan["text"] for plan in plans]

        self._taught("found", FOUND, base, model, examples, config.model_copy(update={"warm_epochs": config.search_epochs}))

    def _taught(
        self,
        name: str,
        stage: str,
        base: CausalModel,
        model: Any,
        examples: Callable[[], tuple[Sequence[Item], Sequence[str]]],
        config: ConductorConfig,
    ) -> None:
        """Supervised fine-tuning on plans; skipped where its weights are on disk."""
        from kubefugu_trainer.grpo.warm import warm_start

        done = self._run.path / f"{name}.safetensors"
        if done.is_file():
            load_tensors(model, done, config)
            return
        items, texts = examples()
        if not items:
            self._reporter.note("No random plan was right: nothing is taught before GRPO.")
            return
        ended = warm_start(
            base,
            model,
            items,
            texts,
            config=config,
            folder=self._run.path / "checkpoints" / name,
            stop=self._stop,
            reporter=self._reporter,
            record=self._record,
            use_cpu=self._around.device == "cpu",
            stage=stage,
            over=self._over,
            saved=self._saved,
        )
        if not ended:
            raise RunStoppedError("The supervised part was stopped; the same command goes on from there.")
        write_artifact(done, model, base, config, training={"stage": name}, metrics={}, half=False)
        self._around.on_safe()

    def _grpo(self, base: CausalModel, model: Any, run_plans: RunPlans) -> None:
        config, done = self._config, self._run.path / "trained.safetensors"
        if done.is_file():
            load_tensors(model, done, config)
            return
        folder = self._run.path / "checkpoints" / "grpo"
        if not config.steps or (self.budget.over and newest(folder) is None):
            return
        from kubefugu_trainer.grpo.learner import train_grpo

        minutes = self._around.grpo_minutes
        until = time.monotonic() + 60 * minutes if minutes else None
        ended = train_grpo(
            base,
            model,
            self._items("train", config.questions),
            config=config,
            folder=folder,
            run_plans=run_plans,
            stop=self._stop,
            reporter=self._reporter,
            record=self._record,
            use_cpu=self._around.device == "cpu",
            over=lambda: self._over() or (until is not None and time.monotonic() >= until),
            saved=self._saved,
        )
        if not ended:
            raise RunStoppedError("GRPO was stopped; the same command goes on from its checkpoint.")
        write_artifact(done, model, base, config, training={"stage": "grpo"}, metrics={}, half=False)
        self._around.on_safe()

    def _measured(self, name: str, base: CausalModel, model: Any, run_plans: RunPlans) -> dict[str, Any]:
        file = self._run.path / f"held_out_{name}.json"
        if file.is_file():
            found: dict[str, Any] = orjson.loads(file.read_bytes())
            return found
        items = self._items("test", self._config.held_out)
        result = measure(name, base, model, items, config=self._config, run_plans=run_plans, reporter=self._reporter)
        result["tasks"] = [item.question.prompt for item in items]
        write_json(file, result)
        self._around.on_safe()
        return result

    def _single(self, run_plans: RunPlans) -> None:
        file = self._run.path / "single.json"
        if file.is_file():
            return
        config = self._config
        training = self._items("single", config.questions)[: max(config.held_out, _CHOOSING)]
        held_out = self._items("test", config.held_out)
        write_json(file, best_single(training, held_out, run_plans=run_plans, reporter=self._reporter))

    def _longest_prompt(self, base: CausalModel) -> int:
        items = self._items("train", self._config.questions)
        if self._config.offer_all:
            items += self._items("test", self._config.held_out)
        return max(len(base.encode_chat(item.messages())) for item in items)

    def _finish(self, base: CausalModel, model: Any, measured: dict[str, dict[str, Any]]) -> Path:
        from kubefugu_trainer.grpo.plots import write_plots

        config, kinds = self._config, ("greedy", "sampled")[: 1 + self._config.measure_sampled]
        figures = ("valid", "reward", "right", "steps", "calls", "lossy")
        before, after = measured["before"], measured["after"]
        metrics: dict[str, Any] = {
            kind: {
                **{stage: {name: result[kind][name] for name in figures} for stage, result in measured.items()},
                "reward_gain": paired(before[kind]["rewards"], after[kind]["rewards"]),
            }
            for kind in kinds
        }
        if "found" in measured:
            for kind in kinds:
                metrics[kind]["reward_gain_of_grpo"] = paired(measured["found"][kind]["rewards"], after[kind]["rewards"])
        # A process that was killed has told of steps after its last checkpoint; they were taken again.
        records = [*{(line["stage"], line["step"]): line for line in self._run.metrics.read()}.values()]
        flat = [record["zero_variance"] for record in records if record["stage"] == "rollouts"]
        metrics["zero_variance_groups"] = {"mean": sum(flat) / len(flat), "steps": len(flat)} if flat else {"steps": 0}
        training = {
            "algorithm": "grpo",
            "steps_done": len({record["step"] for record in records if record["stage"] == "rollouts"}),
            "workers": [[worker.name, self._models[worker.name]] for worker in self._workers],
            "longest_prompt_tokens": self._longest_prompt(base),
            **config.model_dump(mode="json", exclude={"backbone"}),
        }
        artifact = self._run.artifact
        digest = write_artifact(artifact, model, base, config, training=training, metrics=metrics)
        write_plots(self._run.path / "plots", records)
        write_json(
            self._run.report,
            {
                "algorithm": "grpo",
                "artifact": artifact.name,
                "sha256": digest,
                "held_out": config.held_out,
                "steps_done": training["steps_done"],
                **metrics,
            },
        )
        return artifact
