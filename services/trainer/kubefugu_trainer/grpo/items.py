"""What a Conductor is trained and measured on: a question, the workers offered with it (k of n), and the prompt of serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kubefugu_coordination.workflow.offer import CONDUCTOR, JOIN, OfferedWorker
from kubefugu_coordination.workflow.planner_prompt import PromptStyle, planner_messages
from kubefugu_core.errors import DataError
from kubefugu_core.pool import Role, WorkerPool
from kubefugu_trainer.grpo.config import ConductorConfig
from kubefugu_trainer.tasks import mixed, pairs, sets
from kubefugu_trainer.tasks.question import Question
from kubefugu_trainer.tasks.sets import SplitQuestion


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One planning task."""

    number: int
    question: Question
    workers: tuple[OfferedWorker, ...]
    """In the order of their ids; the built-in ones come last, as in serving."""
    max_steps: int
    style: PromptStyle
    split: str = "train"
    """train, test, warm or single: with `number`, where `build_items` has it."""

    @property
    def names(self) -> list[str]:
        """Names of the offered workers, by id."""
        return [worker.name for worker in self.workers]

    @property
    def narrow(self) -> frozenset[str]:
        """Offered workers that read nothing but their subtask."""
        return frozenset(worker.name for worker in self.workers if worker.narrow)

    def messages(self) -> list[dict[str, str]]:
        """The planner's prompt, exactly as serving builds it."""
        conversation = [{"role": "user", "content": self.question.prompt}]
        return planner_messages(conversation, workers=self.workers, max_steps=self.max_steps, style=self.style)


def offered(pool: WorkerPool, only: Sequence[str] | None = None) -> tuple[OfferedWorker, ...]:
    """The pool's solvers as a planner sees them. Raises DataError for an unknown name."""
    known = {spec.name: spec for spec in pool.spec.workers if Role.SOLVER in spec.roles}
    for name in only or ():
        if name not in known:
            raise DataError(f"The pool {pool.metadata.name} has no worker {name!r} that may solve.", field="workers")
    chosen = [known[name] for name in only] if only else list(known.values())
    return tuple(OfferedWorker(spec.name, spec.description, narrow=spec.specialist) for spec in chosen)


def build_items(
    config: ConductorConfig,
    workers: Sequence[OfferedWorker],
    *,
    split: str,
    n: int,
    files: Mapping[str, str] | None = None,
) -> list[Item]:
    """`n` items of a split with worker subsets drawn anew for each, the same for the same configuration.

    A question that is meant for certain workers of the pool is offered those and some others: which ones it is meant for is
    told to nobody. `single` are the training questions with all workers, for measuring one worker after the other; so are held-
    out questions where the configuration says so. No held-out question occurs in another split. `files`: see `sets.build`.
    """
    rng = np.random.default_rng([config.seed, {"train": 1, "test": 2, "warm": 3, "single": 6}[split]])
    rows = _questions(config, split=split, n=n, files=files)
    everyone = split == "single" or (split == "test" and config.offer_all)
    items = []
    for number, row in enumerate(rows):
        subset = list(workers) if everyone else _subset(row.question, workers, config, rng)
        built_in = [JOIN] if config.max_steps > 1 else []
        if config.gamma and rng.random() < config.gamma:
            built_in.append(CONDUCTOR)
        items.append(
            Item(
                number=number,
                question=row.question,
                workers=(*subset, *built_in),
                max_steps=config.max_steps,
                style=config.style,
                split=split,
            )
        )
    return items


def _questions(config: ConductorConfig, *, split: str, n: int, files: Mapping[str, str] | None) -> list[SplitQuestion]:
    side = "test" if split == "test" else "train"
    seed = config.seed + (1 if split == "warm" else 0)
    if config.tasks == pairs.NAME:
        return pairs.build_pairs(n=n, seed=seed, split=side)
    if config.tasks == mixed.NAME:
        return mixed.build_mixed(n=n, seed=seed, split=side)
    held_out = sets.build(config.tasks, n=config.held_out, seed=config.seed + 2, split="test", files=files)
    if side == "test":
        return held_out[:n]
    kept = {row.question.text for row in held_out}
    there = sets.held(config.tasks, files=files)
    # Plans of the warm start hold no solution: a small file's training questions serve several times.
    count = n if there is None or split != "warm" else max(1, min(n, there - config.held_out))
    rows = sets.build(config.tasks, n=count, seed=seed, split=side, without=kept, files=files)
    return [rows[number % count] for number in range(n)]


def _subset(
    question: Question, workers: Sequence[OfferedWorker], config: ConductorConfig, rng: np.random.Generator
) -> list[OfferedWorker]:
    fields = set(question.field.split("+"))
    meant = [worker for worker in workers if worker.name in fields] or _general(workers, rng)
    others = [worker for worker in workers if worker not in meant]
    least, most = min(config.least_workers, len(workers)), min(config.most_workers, len(workers))
    count = max(len(meant), int(rng.integers(least, most + 1)))
    drawn = rng.permutation(len(others))[: count - len(meant)]
    subset = [*meant, *(others[int(index)] for index in drawn)]
    return [subset[int(index)] for index in rng.permutation(len(subset))]


def _general(workers: Sequence[OfferedWorker], rng: np.random.Generator) -> list[OfferedWorker]:
    """A field that no worker is named after is the general workers': one of them is there."""
    found = [worker for worker in workers if not worker.narrow]
    return found if len(found) < 2 else [found[int(rng.integers(len(found)))]]
