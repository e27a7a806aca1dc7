"""Problems as they travel: one blob, told apart by how it begins; and what solves their tasks."""

from __future__ import annotations

from typing import Any, Protocol

import orjson

from kubefugu_coordination.workers.endpoint import KeySource
from kubefugu_core.errors import DataError


class Solver(Protocol):
    """Does the tasks of one problem."""

    def solve(self, part: bytes, shared: bytes) -> Any:
        """A task's result, something of JSON."""
        ...

    def close(self) -> None:
        """Let go of what is held."""
        ...


def solver_of(raw: bytes, *, device: str, keys: KeySource | None = None) -> Solver:
    """The solver of a blob; `keys` are those of the workers that it calls, if any.

    Raises DataError, or what loading its backbone raises.
    """
    if not raw.startswith(b"{"):
        from kubefugu_trainer.evolution.fitness import make_fitness
        from kubefugu_trainer.evolution.problem import Problem
        from kubefugu_trainer.queue.candidates import CandidateSolver

        return CandidateSolver(make_fitness(Problem.from_bytes(raw), device=device))
    from kubefugu_trainer.queue import plans

    if _format(raw) == plans.FORMAT:
        return plans.PlanSolver(raw, keys=keys)
    from functools import cache

    from kubefugu_trainer.episodes.fitness import EpisodeFitness, load_engine
    from kubefugu_trainer.episodes.problem import EpisodeProblem
    from kubefugu_trainer.queue.candidates import CandidateSolver

    episodes = EpisodeProblem.from_bytes(raw)
    return CandidateSolver(EpisodeFitness(episodes, engine=cache(lambda: load_engine(episodes, device=device)), keys=keys))


def _format(raw: bytes) -> object:
    try:
        return orjson.loads(raw).get("format")
    except (orjson.JSONDecodeError, AttributeError) as error:
        raise DataError(f"The problem can't be read: {error}.") from error
