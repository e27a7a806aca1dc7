"""From a pool, task sets and a stage-1 artifact to the frozen problem and the start of the search.

Frozen into the run's snapshot/ on the first start and read from there afterwards: problem.json, start.npz, init.safetensors.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubefugu_core.errors import ArtifactRefusedError, DataError
from kubefugu_core.pool import Role, WorkerPool
from kubefugu_routing.backbone.info import BackboneInfo
from kubefugu_routing.policy import PolicyArtifact, WorkerRow
from kubefugu_trainer.episodes.config import EpisodeConfig
from kubefugu_trainer.episodes.fitness import EpisodeFitness
from kubefugu_trainer.episodes.problem import EpisodeProblem
from kubefugu_trainer.episodes.questions import questions_of
from kubefugu_trainer.episodes.router import HeadPolicy, lift, role_rows
from kubefugu_trainer.evolution.config import EvolutionConfig
from kubefugu_trainer.evolution.vector import Vector, feature_scale
from kubefugu_trainer.runs.directory import RunDirectory
from kubefugu_trainer.runs.files import replace_file
from kubefugu_trainer.tasks.sets import question_files

_PROBLEM, _START, _INIT = "snapshot/problem.json", "snapshot/start.npz", "snapshot/init.safetensors"


@dataclass(frozen=True)
class PreparedEpisodes:
    """See evolution.subject.Subject."""

    problem: EpisodeProblem
    start: Vector
    scale: Vector
    template: PolicyArtifact
    """Rows, format and backbone of what is found."""
    init_sha256: str

    live = True

    @property
    def train_rows(self) -> NDArray[np.int64]:
        """See Subject."""
        return np.arange(self.problem.episodes.train, dtype=np.int64)

    @property
    def worker_names(self) -> tuple[str, ...]:
        """See Subject."""
        return tuple(row.name for row in self.problem.rows)

    @property
    def data_sha256(self) -> str:
        """See Subject."""
        return self.problem.questions_sha256

    @property
    def provenance(self) -> dict[str, Any]:
        """See Subject."""
        return {"episodes": self.problem.episodes.model_dump(mode="json"), "init_sha256": self.init_sha256}

    def artifact(self, x: Vector) -> PolicyArtifact:
        """See Subject."""
        _, head = self.problem.layout.split(x)
        return replace(self.template, head=head, workers=self.problem.rows, roles=True, told_agents=self.problem.agents)


def problem_of(
    config: EvolutionConfig,
    episodes: EpisodeConfig,
    *,
    pool: WorkerPool,
    init: PolicyArtifact,
    info: BackboneInfo,
    backbone: str,
    replies: Path,
    threads: int,
) -> EpisodeProblem:
    """The problem. Raises ArtifactRefusedError or DataError for a pool, artifact or backbone that does not fit."""
    why = info.differs_from(backbone_id=init.backbone_id, revision=init.backbone_revision)
    if why:
        raise ArtifactRefusedError(f"The artifact cannot be the start: {why}.", field="init")
    if init.has_offsets:
        raise ArtifactRefusedError("Live episodes search over heads; the artifact has offsets.", field="init")
    if episodes.turns > pool.spec.routing.max_turns:
        raise DataError(f"The pool allows {pool.spec.routing.max_turns} turns, not {episodes.turns}.", field="turns")
    rows = tuple(WorkerRow(spec.name, spec.model) for spec in pool.spec.workers)
    trained = {row.name: row.model for row in init.workers}
    for row in rows:
        if trained.get(row.name, row.model) != row.model:
            raise ArtifactRefusedError(
                f"The artifact's row {row.name} was trained for {trained[row.name]!r}, the pool has {row.model!r}.",
                field="init",
            )
    if not any(row.name in trained for row in rows):
        raise ArtifactRefusedError("The artifact has no row of a worker of the pool.", field="init")
    files = question_files(episodes.tasks)
    return EpisodeProblem(
        episodes=episodes,
        pool=pool.model_dump(mode="json", by_alias=True, exclude_none=True),
        rows=rows,
        agents=init.num_agents,
        width=info.hidden_size,
        input_format=init.input_format.value,
        backbone=backbone,
        backbone_revision=info.revision,
        questions_sha256=questions_of(episodes, files=files).sha256,
        replies=str(replies.absolute()),
        entropy_weight=config.entropy_weight,
        cost_weight=config.cost_weight,
        threads=threads,
        files=files,
    )


def frozen_problem(run: RunDirectory, make: Callable[[], EpisodeProblem], init_file: Path) -> EpisodeProblem:
    """The run's problem, made on its first start."""
    file = run.path / _PROBLEM
    if not file.is_file():
        raw = make().to_bytes()
        with replace_file(run.path / _INIT) as copy, init_file.open("rb") as read:
            shutil.copyfileobj(read, copy)
        with replace_file(file) as target:
            target.write(raw)
    return EpisodeProblem.from_bytes(file.read_bytes())


def starting_vector(
    config: EvolutionConfig, run: RunDirectory, fitness: EpisodeFitness, init: PolicyArtifact
) -> tuple[Vector, Vector]:
    """x and the unit of its coordinates, made on the run's first start: the artifact's rows by name, zeros for new workers.

    Role rows that the artifact lacks are fitted (`_with_roles`) on the training questions before and after the reply that stage
    1's own worker gives: the search starts from stage 1 with its answer checked by a verifier.
    """
    file = run.path / _START
    if not file.is_file():
        problem = fitness.problem
        head = _worker_rows(problem, init)
        first, later = observed(fitness, HeadPolicy(head, problem.rows, roles=False, agents=problem.agents))
        full = (
            np.concatenate([head, init.head[len(init.workers) :]]) if init.roles else _with_roles(problem, head, first, later)
        )
        start = problem.layout.join({}, full)
        scale = np.ones(problem.layout.total)
        if config.scaling == "features":
            scale = feature_scale(problem.layout, np.array([*first, *later]), full)
        with replace_file(file) as target:
            np.savez(target, start=start, scale=scale)
    with np.load(file, allow_pickle=False) as arrays:
        return arrays["start"], arrays["scale"]


def _worker_rows(problem: EpisodeProblem, init: PolicyArtifact) -> NDArray[np.float32]:
    head = np.zeros((problem.workers, problem.width), dtype=np.float32)
    by_name = {row.name: i for i, row in enumerate(init.workers)}
    for i, row in enumerate(problem.rows):
        if row.name in by_name:
            head[i] = init.head[by_name[row.name]]
    return head


def _with_roles(
    problem: EpisodeProblem, head: NDArray[np.float32], first: list[NDArray[np.float32]], later: list[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """The head with three role rows, and with those who may verify ahead of the other workers where there is a response.

    Worker and role are chosen jointly. Were the verifier's row alone to make up for a verifier's smaller worker logit, no step
    of the search would reach the same worker in another role; so the workers' rows are lifted, and the roles stay close. They
    are lifted beyond the best worker by the spread of the workers' logits, so that it is so for other questions, too.
    """
    able = np.array([Role.VERIFIER in spec.roles for spec in problem.worker_pool().spec.workers])
    if not able.any():
        raise DataError("No worker of the pool may take the role verifier.", field="pool")
    seen = np.asarray(later)
    logits = seen @ head.T
    lifted = head.copy()
    spread = float(np.sqrt(np.mean((logits - logits.mean(axis=1, keepdims=True)) ** 2)))
    lifted[able] += lift(first, later, behind=logits.max(axis=1) - logits[:, able].max(axis=1) + spread)
    logits = seen @ lifted.T
    left = float((logits.max(axis=1) - logits[:, able].max(axis=1)).max())
    return np.concatenate([lifted, role_rows(first, later, margin=problem.episodes.role_margin + left)])


def observed(fitness: EpisodeFitness, policy: HeadPolicy) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """Features of the training questions before any response, and with the response that a one-turn policy gets."""
    from kubefugu_coordination.loop.observation import observation
    from kubefugu_coordination.loop.parsing import thought_of

    rows = np.arange(fitness.set.train, dtype=np.int64)
    episodes = fitness.play(policy, rows, replace(fitness.serving_rules, turns=1))
    features = fitness.bank.of(policy.num_agents)
    first, later = [], []
    for row, episode in zip(rows, episodes, strict=True):
        messages = [{"role": role, "content": text} for role, text in fitness.set.questions[int(row)].messages]
        first.append(features.feature(observation(messages, [])))
        if thought := thought_of(episode.reply):
            later.append(features.feature(observation(messages, [thought])))
    if not later:
        raise DataError("Stage 1 got no reply to any training question, so role rows can't be fitted.", field="init")
    return first, later
