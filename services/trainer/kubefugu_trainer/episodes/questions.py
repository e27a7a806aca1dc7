"""The questions of a run: drawn from task sets, training and held-out ones without a common text."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubefugu_core.errors import DataError
from kubefugu_trainer.episodes.config import EpisodeConfig
from kubefugu_trainer.tasks.question import Question
from kubefugu_trainer.tasks.sets import build


@dataclass(frozen=True, slots=True)
class EpisodeSet:
    """Questions, training ones first."""

    questions: tuple[Question, ...]
    groups: tuple[str, ...]
    train: int
    """How many of them are searched on."""

    @property
    def train_rows(self) -> NDArray[np.int64]:
        """Indices that are searched on."""
        return np.arange(self.train, dtype=np.int64)

    @property
    def held_out_rows(self) -> NDArray[np.int64]:
        """Indices that results are reported on."""
        return np.arange(self.train, len(self.questions), dtype=np.int64)

    @property
    def sha256(self) -> str:
        """Of all texts and of what checks the answers, in order."""
        told = "\0".join(f"{question.text}\0{question.verifier!r}" for question in self.questions)
        return hashlib.sha256(told.encode()).hexdigest()


def questions_of(config: EpisodeConfig, *, files: Mapping[str, str] | None = None) -> EpisodeSet:
    """The questions, the same for the same configuration. Training questions never use the templates kept for testing.

    `files`: see `sets.build`.
    """
    train = build(config.tasks, n=config.train, seed=config.task_seed, split="train", files=files)
    seen = {row.question.text for row in train}
    drawn = build(config.tasks, n=config.held_out + config.train, seed=config.task_seed + 1, split="test", files=files)
    fresh = [row for row in drawn if row.question.text not in seen]
    if len(fresh) < config.held_out:
        raise DataError(
            f"The task sets hold only {len(fresh)} held-out questions of the {config.held_out} asked for.", field="held_out"
        )
    # Evenly over the slices (seen, new and fresh templates), which follow one another.
    chosen = np.linspace(0, len(fresh) - 1, config.held_out).round().astype(int)
    questions = tuple(row.question for row in (*train, *(fresh[i] for i in chosen)))
    return EpisodeSet(questions, tuple(question.field for question in questions), len(train))
