"""Wires a run on live episodes: pool, tasks, start, evaluator, run directory; and the comparison of finished artifacts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kubefugu_coordination.workers.endpoint import KeySource
from kubefugu_core.errors import DataError
from kubefugu_core.pool import load_pool
from kubefugu_routing.policy import PolicyArtifact, load_artifact
from kubefugu_trainer.episodes.config import EpisodeConfig
from kubefugu_trainer.episodes.fitness import EpisodeFitness
from kubefugu_trainer.episodes.judge import EpisodeJudge, played_by, report
from kubefugu_trainer.episodes.prepare import PreparedEpisodes, frozen_problem, problem_of, starting_vector
from kubefugu_trainer.episodes.problem import EpisodeProblem
from kubefugu_trainer.episodes.router import HeadPolicy
from kubefugu_trainer.evolution.assemble import artifact_of, default_threads, use_threads
from kubefugu_trainer.evolution.config import EvolutionConfig
from kubefugu_trainer.evolution.evaluators import Evaluator, InProcessEvaluator
from kubefugu_trainer.evolution.run import EvolutionRun, Limits, Progress
from kubefugu_trainer.features.extract import FeatureSource
from kubefugu_trainer.runs.directory import RunDirectory
from kubefugu_trainer.runs.progress import Reporter


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeOrder:
    """Where a run's inputs are and where its facts go."""

    pool: Path
    init: Path
    out: Path
    backbone: str = ""
    """Reference of the artifact's backbone; "": its id."""
    replies: Path | None = None
    """Reply cache; None: in the run directory."""
    broker: str | None = None
    threads: int = 0
    confidence: float = 0.95
    keys: KeySource | None = None
    """Keys of the workers; None: those that the pool's manifest names."""


def episode_configuration(**values: Any) -> EpisodeConfig:
    """A checked configuration. Raises DataError that names the field."""
    try:
        return EpisodeConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{field}: {first['msg']}", field=field) from error


def execute(
    config: EvolutionConfig,
    episodes: EpisodeConfig,
    order: EpisodeOrder,
    *,
    reporter: Reporter,
    limits: Limits,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Path:
    """Run to the end; returns the artifact's path. Raises what EvolutionRun.execute raises, and DataError for wrong inputs."""
    pool = load_pool(order.pool)
    if config.offsets != "none":
        raise DataError("Live episodes search over heads: --offsets none.", field="offsets")
    if config.subset > len(pool.spec.workers):
        raise DataError(f"subset is {config.subset}, the pool has {len(pool.spec.workers)} workers", field="subset")
    init_file = artifact_of(order.init)
    init = load_artifact(init_file)
    backbone = order.backbone or init.backbone_id
    source = FeatureSource(backbone, root=order.out, reporter=reporter, threads=order.threads or None)
    init_sha256 = hashlib.sha256(init_file.read_bytes()).hexdigest()
    run = RunDirectory(
        order.out,
        config={
            **config.model_dump(mode="json"),
            "algorithm": "sep-cma-es",
            "fitness": "episodes",
            "episodes": episodes.model_dump(mode="json"),
            "pool": pool.metadata.name,
            "workers": [spec.name for spec in pool.spec.workers],
            "backbone_revision": source.backbone.info.revision,
            "init_sha256": init_sha256,
        },
    )
    try:
        problem = frozen_problem(
            run,
            lambda: problem_of(
                config, episodes, pool=pool, init=init, info=source.backbone.info, backbone=backbone,
                replies=order.replies or order.out / "replies.sqlite", threads=order.threads or default_threads(),
            ),
            init_file,
        )  # fmt: skip
        use_threads(problem.threads)
        fitness = EpisodeFitness(problem, engine=lambda: source.engine, stop=limits.stop, keys=order.keys)
        try:
            start, scale = starting_vector(config, run, fitness, init)
            prepared = PreparedEpisodes(problem, start, scale, init, init_sha256)
            judge = EpisodeJudge(fitness, start=start, stage1=_served(init), seed=config.seed, level=order.confidence)
            evaluator = _evaluator(order, problem, fitness, run, limits, reporter)
            try:
                return EvolutionRun(
                    config, prepared, evaluator=evaluator, judge=judge, run=run, reporter=reporter, limits=limits,
                    on_progress=on_progress,
                ).execute()  # fmt: skip
            finally:
                evaluator.close()
        finally:
            fitness.close()
    finally:
        run.close()


def _served(init: PolicyArtifact) -> HeadPolicy | None:
    """Stage 1 as a router would serve it, where that differs from the search's start."""
    return None if init.roles else HeadPolicy(init.head, init.workers, roles=False, agents=init.num_agents)


def _evaluator(
    order: EpisodeOrder,
    problem: EpisodeProblem,
    fitness: EpisodeFitness,
    run: RunDirectory,
    limits: Limits,
    reporter: Reporter,
) -> Evaluator:
    if order.broker is None:
        return InProcessEvaluator(fitness)
    from kubefugu_trainer.queue.candidates import CeleryEvaluator
    from kubefugu_trainer.queue.tasks import run_identity

    return CeleryEvaluator(order.broker, run_id=run_identity(run.path), problem=problem, stop=limits.stop, reporter=reporter)


def compare(
    episodes: EpisodeConfig,
    artifacts: Mapping[str, Path],
    *,
    pool_file: Path,
    backbone: str,
    replies: Path,
    reporter: Reporter,
    threads: int = 0,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Any]:
    """Artifacts on the same held-out episodes, as served; the first one against each of the others (`judge.report`)."""
    loaded = {name: load_artifact(artifact_of(path)) for name, path in artifacts.items()}
    first = next(iter(loaded.values()))
    reference = backbone or first.backbone_id
    source = FeatureSource(reference, root=replies.parent, reporter=reporter, threads=threads or None)
    formats = {artifact.input_format for artifact in loaded.values()}
    if len(formats) > 1:
        raise DataError("The artifacts read different input formats; compare those that read the same.", field="artifact")
    problems = [
        problem_of(
            EvolutionConfig(), episodes, pool=load_pool(pool_file), init=artifact, info=source.backbone.info,
            backbone=reference, replies=replies, threads=threads or default_threads(),
        )
        for artifact in loaded.values()
    ]  # fmt: skip
    use_threads(problems[0].threads)
    fitness = EpisodeFitness(problems[0], engine=lambda: source.engine)
    try:
        reporter.start("episodes", total=len(loaded))
        played = {}
        for name, artifact in loaded.items():
            played[name] = played_by(
                fitness, HeadPolicy(artifact.head, artifact.workers, roles=artifact.roles, agents=artifact.num_agents)
            )
            reporter.advance(1)
        reporter.finish()
        labels = [fitness.set.groups[int(row)] for row in fitness.set.held_out_rows]
        return {
            "episodes": episodes.model_dump(mode="json"),
            "questions_sha256": problems[0].questions_sha256,
            **report(played, labels, seed=seed, level=level),
        }
    finally:
        fitness.close()


def table(figures: Mapping[str, Any]) -> Sequence[str]:
    """The comparison as lines for people."""
    lines = [f"{figures['items']} held-out episodes"]
    for name, told in figures["policies"].items():
        low, high = told["score_ci"]
        lines.append(f"{name}: {100 * told['score']:.1f} % ({100 * low:.1f} - {100 * high:.1f}), {told['turns']:.2f} turns")
    for name, told in figures["against"].items():
        low, high = told["gain_ci"]
        lines.append(
            f"{name}: {100 * told['gain']:+.1f} points ({100 * low:+.1f} - {100 * high:+.1f}), p = {told['p']:.2g}, "
            f"better {told['better']}, worse {told['worse']}"
        )
    return lines
