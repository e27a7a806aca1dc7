"""Candidates of an evolution as tasks: a vector each, and what they are measured on."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from kubefugu_core.errors import DataError
from kubefugu_trainer.evolution.choice import Draw, Generation, Measured
from kubefugu_trainer.evolution.evaluators import Measures
from kubefugu_trainer.evolution.sepcma import Population
from kubefugu_trainer.queue.tasks import TaskQueue
from kubefugu_trainer.runs.progress import Reporter


class Sendable(Protocol):
    """A problem that a driver can send."""

    @property
    def workers(self) -> int:
        """L."""
        ...

    def to_bytes(self) -> bytes:
        """The blob."""
        ...


class CeleryEvaluator:
    """Evaluator over a TaskQueue."""

    def __init__(
        self,
        broker: str,
        *,
        run_id: str,
        problem: Sendable,
        stop: threading.Event,
        reporter: Reporter,
        patience_s: float = 60.0,
    ) -> None:
        """See TaskQueue."""
        self._queue = TaskQueue(
            broker,
            run_id=run_id,
            problem=problem.to_bytes(),
            decode=lambda value: Measured.from_json(value, workers=problem.workers),
            stop=stop,
            reporter=reporter,
            patience_s=patience_s,
        )

    def evaluate(
        self, generation: Generation, candidates: Population, *, on_result: Callable[[int, Measured], None]
    ) -> list[Measured]:
        """See Evaluator. Raises what TaskQueue.run raises."""
        parts = [np.ascontiguousarray(x, dtype="<f8").tobytes() for x in candidates]
        draws = [draw_to_bytes(draw) for draw in generation.draws]
        return self._queue.run(generation.number, parts, shared=draws, on_result=on_result)

    def close(self) -> None:
        """See Evaluator."""
        self._queue.close()


class CandidateSolver:
    """The evaluator process' side."""

    def __init__(self, fitness: Measures) -> None:
        self._fitness = fitness

    def solve(self, part: bytes, shared: bytes) -> dict[str, Any]:
        """Figures of a candidate. Raises DataError for what is none."""
        vector = np.frombuffer(part, dtype="<f8").astype(np.float64)
        return self._fitness.measure(vector, draw_from_bytes(shared)).to_json()

    def close(self) -> None:
        """Let go of what the fitness holds."""
        self._fitness.close()


def draw_to_bytes(draw: Draw) -> bytes:
    """A draw as bytes, equal for equal draws."""
    shape = np.array([draw.allowed.shape[0], draw.allowed.shape[1], draw.noise.size, draw.seeds.size], dtype="<i8")
    parts = (shape, draw.rows.astype("<i8"), draw.allowed.astype("u1"), draw.seeds.astype("<i8"), draw.noise.astype("<f8"))
    return b"".join(part.tobytes() for part in parts)


def draw_from_bytes(raw: bytes) -> Draw:
    """Read `draw_to_bytes` back. Raises DataError for anything else."""
    buffer = io.BytesIO(raw)
    try:
        size, workers, noise, seeds = (int(n) for n in np.frombuffer(buffer.read(32), dtype="<i8"))
        rows = np.frombuffer(buffer.read(8 * size), dtype="<i8").astype(np.int64)
        allowed = np.frombuffer(buffer.read(size * workers), dtype="u1").astype(np.bool_).reshape(size, workers)
        drawn = np.frombuffer(buffer.read(8 * seeds), dtype="<i8").astype(np.int64)
        rest = np.frombuffer(buffer.read(), dtype="<f8").astype(np.float64)
        return Draw(rows, allowed, rest.reshape(size, workers) if noise else np.zeros((0, 0)), drawn)
    except ValueError as error:
        raise DataError(f"not a draw: {error}") from error
