"""Problems as they travel: one blob, told apart by how it begins."""

from __future__ import annotations

from typing import Protocol

from kubefugu_trainer.evolution.evaluators import Measures


class Sendable(Protocol):
    """A problem that a driver can send."""

    @property
    def workers(self) -> int:
        """L."""
        ...

    def to_bytes(self) -> bytes:
        """The blob."""
        ...


def fitness_of(raw: bytes, *, device: str) -> Measures:
    """The fitness of a blob. Raises DataError, or what loading its backbone raises."""
    if raw.startswith(b"{"):
        from functools import cache

        from kubefugu_trainer.episodes.fitness import EpisodeFitness, load_engine
        from kubefugu_trainer.episodes.problem import EpisodeProblem

        episodes = EpisodeProblem.from_bytes(raw)
        return EpisodeFitness(episodes, engine=cache(lambda: load_engine(episodes, device=device)))
    from kubefugu_trainer.evolution.fitness import make_fitness
    from kubefugu_trainer.evolution.problem import Problem

    return make_fitness(Problem.from_bytes(raw), device=device)
