"""An evolution run: ask, measure, tell, checkpoint; at the end the mean vector on held-out questions and as an artifact.

The driver owns the optimiser. Everything that is drawn comes from its one generator, in the order subset and questions of the
generation, then candidates; a generation that was cut off is drawn again from the last checkpoint, bit for bit.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubefugu_routing.policy import PolicyArtifact, save_artifact
from kubefugu_trainer.evolution.checkpoints import Checkpoint, Checkpoints
from kubefugu_trainer.evolution.choice import Generation, Measured, draw_generation
from kubefugu_trainer.evolution.config import EvolutionConfig
from kubefugu_trainer.evolution.evaluators import Evaluator
from kubefugu_trainer.evolution.sepcma import SepCma, Strategy
from kubefugu_trainer.evolution.stopping import RunStoppedError
from kubefugu_trainer.evolution.subject import Judge, Subject
from kubefugu_trainer.evolution.vector import Vector
from kubefugu_trainer.runs.directory import RunDirectory
from kubefugu_trainer.runs.files import write_json
from kubefugu_trainer.runs.progress import Reporter


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is; written to status.json after each generation."""

    state: str
    """preparing, running, evaluating, succeeded or stopped."""
    generation: int
    generations: int
    mean_fitness: float
    """Of the last generation's candidates."""
    best_fitness: float
    """Best candidate so far (on training questions: a sign of life, not a result)."""
    sigma: float
    eta_s: float
    checkpoint: str = ""
    """File of the last complete checkpoint."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What ends a run before its last generation."""

    stop: threading.Event
    """Set: end at the next safe point."""
    max_seconds: float = 0.0
    """Training time over all attempts; 0: no limit."""


class EvolutionRun:
    """One run. `evaluator` measures candidates, `judge` the result on held-out questions, `run` keeps what is done."""

    def __init__(
        self,
        config: EvolutionConfig,
        prepared: Subject,
        *,
        evaluator: Evaluator,
        judge: Judge,
        run: RunDirectory,
        reporter: Reporter,
        limits: Limits,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        self._config = config
        self._prepared = prepared
        self._evaluator = evaluator
        self._judge = judge
        self._run = run
        self._reporter = reporter
        self._limits = limits
        self._on_progress = on_progress
        self._strategy = Strategy.default(prepared.problem.layout.total, config.population)
        self._best = -np.inf
        self._elapsed_s = 0.0

    def execute(self) -> Path:
        """Search, evaluate, write; returns the artifact's path. A finished run returns at once.

        Raises RunStoppedError where it was asked to end; the same call goes on from the last checkpoint.
        """
        if self._run.report.is_file():
            self._reporter.note(f"{self._run.path}: this run is already finished")
            return self._run.artifact
        checkpoints = Checkpoints(self._run)
        try:
            optimiser = self._search(checkpoints)
        finally:
            checkpoints.close()
        self._finish(optimiser)
        return self._run.artifact

    # --- the search ----------------------------------------------------------------------------------------------------------

    def _search(self, checkpoints: Checkpoints) -> SepCma:
        optimiser = self._begin(checkpoints.latest())
        total = self._config.generations
        self._reporter.start("generations", total=total, done=optimiser.generation)
        try:
            while optimiser.generation < total and not self._out_of_time():
                began = time.monotonic()
                record = self._generation(optimiser)
                self._elapsed_s += time.monotonic() - began
                record["elapsed_s"] = round(self._elapsed_s, 3)
                checkpoints.save(Checkpoint(optimiser.state(), record))
                self._run.metrics.append(record)
                self._tell(optimiser, record)
        finally:
            self._reporter.finish()
        return optimiser

    def _begin(self, last: Checkpoint | None) -> SepCma:
        if last is None:
            start = self._prepared.start / self._prepared.scale
            generator = np.random.default_rng(self._config.seed)
            return SepCma(start, self._config.sigma, generator=generator, strategy=self._strategy)
        known = [line for line in self._run.metrics.read() if line.get("event") == "generation"]
        if not known or known[-1]["generation"] < last.record["generation"]:
            self._run.metrics.append(last.record)  # killed between the checkpoint and its line
        self._best = max([float(max(line["fitness"])) for line in known], default=-np.inf)
        self._best = max(self._best, float(max(last.record["fitness"])))
        self._elapsed_s = float(last.record["elapsed_s"])
        return SepCma.resume(last.state, strategy=self._strategy)

    def _generation(self, optimiser: SepCma) -> dict[str, Any]:
        """One generation; returns its record."""
        number = optimiser.generation
        problem = self._prepared.problem
        generation = draw_generation(
            optimiser.generator,
            self._config,
            number=number,
            train=self._prepared.train_rows,
            workers=problem.workers,
            candidates=self._strategy.population,
            episodes=self._prepared.live,
        )
        asked = optimiser.ask()
        self._check_stop()
        results = self._measure(generation, asked * self._prepared.scale)
        optimiser.tell(asked, -np.array([result.fitness for result in results]))
        return {
            "event": "generation",
            "generation": number,
            "fitness": [result.fitness for result in results],
            "score": [result.score for result in results],
            "entropy": [result.entropy for result in results],
            "cost": [result.cost for result in results],
            "shares": np.mean([result.shares for result in results], axis=0).tolist(),
            "turns": float(np.mean([result.turns for result in results])),
            "roles": np.mean([result.roles for result in results], axis=0).tolist() if results[0].roles else [],
            "sigma": optimiser.sigma,
            "mean_norm": float(np.linalg.norm(optimiser.mean)),
            "mean_sha256": hashlib.sha256(optimiser.mean.tobytes()).hexdigest(),
        }

    def _measure(self, generation: Generation, candidates: NDArray[np.float64]) -> list[Measured]:
        return self._evaluator.evaluate(generation, candidates, on_result=self._heard)

    def _heard(self, index: int, measured: Measured) -> None:
        self._reporter.advance(0, candidate=index, fitness=round(measured.fitness, 4))  # a sign of life where one takes minutes
        self._check_stop()

    def _check_stop(self) -> None:
        if self._limits.stop.is_set():
            raise RunStoppedError("The run was asked to end; the same command goes on from its last checkpoint.")

    def _out_of_time(self) -> bool:
        out = 0 < self._limits.max_seconds <= self._elapsed_s
        if out:
            self._reporter.note(f"The time of {self._limits.max_seconds:g} s is used up; what there is will be evaluated.")
        return out

    def _tell(self, optimiser: SepCma, record: dict[str, Any]) -> None:
        mean = float(np.mean(record["fitness"]))
        self._best = max(self._best, float(max(record["fitness"])))
        self._reporter.advance(
            1,
            mean=round(mean, 4),
            best=round(float(self._best), 4),
            sigma=float(f"{record['sigma']:.3g}"),
            score=round(float(np.mean(record["score"])), 4),
        )
        done = optimiser.generation
        left = self._config.generations - done
        self._say("running", done, mean, record["sigma"], eta_s=self._elapsed_s / max(1, done) * left)

    def _say(self, state: str, generation: int, mean: float, sigma: float, *, eta_s: float = 0.0) -> None:
        progress = Progress(
            state=state,
            generation=generation,
            generations=self._config.generations,
            mean_fitness=mean,
            best_fitness=float(self._best) if np.isfinite(self._best) else 0.0,
            sigma=float(sigma),
            eta_s=round(eta_s, 1),
            checkpoint=str(self._run.path / "checkpoints" / f"generation-{generation:06d}.npz"),
        )
        write_json(self._run.path / "status.json", asdict(progress))
        self._on_progress(progress)

    # --- the result ----------------------------------------------------------------------------------------------------------

    def _finish(self, optimiser: SepCma) -> None:
        records = [line for line in self._run.metrics.read() if line.get("event") == "generation"]
        mean_fitness = float(np.mean(records[-1]["fitness"])) if records else 0.0
        self._say("evaluating", optimiser.generation, mean_fitness, optimiser.sigma)
        x = optimiser.mean * self._prepared.scale
        figures = self._judge(x, self._check_stop)
        sha256 = save_artifact(self._run.artifact, self._artifact(x, optimiser.generation, figures))
        self._run.metrics.append({"event": "artifact", "sha256": sha256, **figures})
        if records:
            from kubefugu_trainer.evolution import plots  # matplotlib, needed only here

            plots.write(self._run.path / "plots", records, self._prepared.worker_names, figures)
        generations = {"generations": optimiser.generation, "sigma": optimiser.sigma, "artifact_sha256": sha256}
        write_json(self._run.report, {**figures, **generations})
        self._say("succeeded", optimiser.generation, mean_fitness, optimiser.sigma)

    def _artifact(self, x: Vector, generations: int, figures: dict[str, Any]) -> PolicyArtifact:
        training = {
            "algorithm": "sep-cma-es",
            "data_sha256": self._prepared.data_sha256,
            "seed": self._config.seed,
            "generations": generations,
            "population": self._strategy.population,
            "vector": "mean",
            "config": self._config.model_dump(mode="json"),
            **self._prepared.provenance,
        }
        return replace(self._prepared.artifact(x), training=training, metrics=figures)
