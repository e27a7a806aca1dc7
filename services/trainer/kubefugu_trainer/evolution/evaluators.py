"""How a generation's candidates are measured: the seam, and the implementation without a broker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from kubefugu_trainer.evolution.choice import Draw, Generation, Measured
from kubefugu_trainer.evolution.sepcma import Population
from kubefugu_trainer.evolution.vector import Vector


class Evaluator(Protocol):
    """Measures candidates. The numbers are the same, bit for bit, whoever computes them and however often."""

    def evaluate(
        self, generation: Generation, candidates: Population, *, on_result: Callable[[int, Measured], None]
    ) -> list[Measured]:
        """Figures of all candidates (lambda, N), in their order.

        `on_result` hears of each as it comes, in any order; what it raises ends the evaluation.
        """
        ...

    def close(self) -> None:
        """Let go of what is held."""
        ...


class Measures(Protocol):
    """Fitness of one problem."""

    def measure(self, x: Vector, draw: Draw) -> Measured:
        """A candidate's figures on its draw."""
        ...

    def close(self) -> None:
        """Let go of what is held."""
        ...


class InProcessEvaluator:
    """Measures candidates here, one after another (a plain loop beats vmap on a CPU)."""

    def __init__(self, fitness: Measures) -> None:
        self._fitness = fitness

    def evaluate(
        self, generation: Generation, candidates: Population, *, on_result: Callable[[int, Measured], None]
    ) -> list[Measured]:
        """See Evaluator."""
        results = []
        for index, x in enumerate(candidates):
            measured = self._fitness.measure(x, generation.draw(index))
            on_result(index, measured)
            results.append(measured)
        return results

    def close(self) -> None:
        """See Evaluator."""
