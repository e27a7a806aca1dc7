"""From a journal to a table: questions that every worker answered every time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kubefugu_core.errors import DataError
from kubefugu_trainer.outcomes.journal import Measurement, question_key
from kubefugu_trainer.outcomes.table import OutcomeTable
from kubefugu_trainer.tasks.sets import SplitQuestion

Measurements = Mapping[tuple[str, str, int], Measurement]


def assemble(
    rows: Sequence[SplitQuestion],
    measurements: Measurements,
    *,
    workers: Sequence[str],
    repeats: int,
    provenance: Mapping[str, Any],
) -> OutcomeTable:
    """The table of all complete questions. Raises DataError where none is complete."""
    complete: list[SplitQuestion] = []
    cells: list[list[list[Measurement]]] = []
    for row in rows:
        key = question_key(row.question.text)
        answers = [[measurements.get((key, worker, r)) for r in range(repeats)] for worker in workers]
        known = [[m for m in answer if m is not None] for answer in answers]
        if all(len(answer) == repeats for answer in known):
            complete.append(row)
            cells.append(known)
    if not complete:
        raise DataError("No question was answered by every worker; there is no table to write.")

    def mean(member: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        values = [[np.mean([float(getattr(m, member)) for m in answer]) for answer in answers] for answers in cells]
        return np.array(values, dtype=np.float64)

    return OutcomeTable(
        workers=tuple(workers),
        messages=tuple(row.question.messages for row in complete),
        splits=tuple(row.split for row in complete),
        groups=tuple(row.question.field for row in complete),
        slices=tuple(row.slice for row in complete),
        scores=mean("score"),
        costs=mean("cost_usd"),
        tokens=mean("prompt_tokens") + mean("completion_tokens"),
        repeats=tuple(tuple(tuple(m.score for m in answer) for answer in answers) for answers in cells),
        provenance=provenance,
    )
