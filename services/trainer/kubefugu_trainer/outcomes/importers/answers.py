"""What every importer yields, and the table made of it. Pure.

Corpora are long (one model's file after another) and ragged: some models were measured on a part of the questions only. A table
has no gaps, so a worker measured on too few questions is left out, and then every question that some kept worker lacks; both
are said in the table's notes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubefugu_core.errors import DataError
from kubefugu_trainer.outcomes.table import Messages, OutcomeTable

TRAIN_PERCENT = 70


@dataclass(frozen=True, slots=True)
class Answer:
    """One worker's measured answer to one question."""

    prompt: str
    group: str
    worker: str
    score: float
    """In [0, 1]."""
    cost_usd: float | None = None


def split_of(prompt: str) -> str:
    """train for 70 % of all texts, else test; sha256 of the text alone decides, so the same text is always on one side."""
    number = int.from_bytes(hashlib.sha256(prompt.strip().encode("utf-8", "surrogatepass")).digest()[:8], "big")
    return "train" if number % 100 < TRAIN_PERCENT else "test"


@dataclass
class _Cell:
    """Measurements of one worker on one question; the same question may stand in a corpus more than once."""

    scores: list[float]
    costs: list[float | None]


def assemble(
    answers: Iterable[Answer],
    *,
    source: str,
    provenance: Mapping[str, Any],
    workers: Sequence[str] | None = None,
    coverage: float = 0.95,
) -> OutcomeTable:
    """The table of all questions that every kept worker answered. Repeated questions are averaged.

    `workers`: keep these, in this order; None: all that answered at least the share `coverage` of the questions, in order of
    first appearance. Raises DataError where nothing is left or a named worker is not in the corpus.
    """
    cells: dict[str, dict[str, _Cell]] = {}
    groups: dict[str, str] = {}
    seen: dict[str, None] = {}
    for answer in answers:
        if not 0.0 <= answer.score <= 1.0:
            raise DataError(
                f"{source}: {answer.worker}: the score {answer.score!r} of {answer.prompt[:60]!r} is out of [0, 1]",
                field="score",
            )
        seen.setdefault(answer.worker)
        groups.setdefault(answer.prompt, answer.group)
        cell = cells.setdefault(answer.prompt, {}).setdefault(answer.worker, _Cell([], []))
        cell.scores.append(answer.score)
        cell.costs.append(answer.cost_usd)
    notes: list[str] = []
    kept = _kept_workers(cells, tuple(seen), workers, coverage, source, notes)
    prompts = [prompt for prompt, row in cells.items() if all(name in row for name in kept)]
    if len(prompts) < len(cells):
        notes.append(f"{source}: {len(cells) - len(prompts)} of {len(cells)} questions are left out: some worker lacks them.")
    if not prompts:
        raise DataError(f"{source}: no question was answered by every worker ({', '.join(kept)})")
    return OutcomeTable(
        workers=kept,
        messages=tuple(_question(prompt) for prompt in prompts),
        splits=tuple(split_of(prompt) for prompt in prompts),
        groups=tuple(groups[prompt] for prompt in prompts),
        scores=np.array([[np.mean(cells[prompt][name].scores) for name in kept] for prompt in prompts], dtype=np.float64),
        costs=_costs(cells, prompts, kept),
        source=source,
        provenance={**provenance, "split": f"sha256 of the prompt modulo 100, train below {TRAIN_PERCENT}"},
        notes=tuple(notes),
    )


def _question(prompt: str) -> Messages:
    return (("user", prompt),)


def _costs(cells: Mapping[str, Mapping[str, _Cell]], prompts: Sequence[str], kept: Sequence[str]) -> NDArray[np.float64] | None:
    """Mean costs (n, L); None where some answer has none."""
    rows = [[[cost for cost in cells[prompt][name].costs if cost is not None] for name in kept] for prompt in prompts]
    if not all(cell for row in rows for cell in row):
        return None
    return np.array([[np.mean(cell) for cell in row] for row in rows], dtype=np.float64)


def _kept_workers(
    cells: Mapping[str, Mapping[str, _Cell]],
    seen: tuple[str, ...],
    wanted: Sequence[str] | None,
    coverage: float,
    source: str,
    notes: list[str],
) -> tuple[str, ...]:
    if not seen:
        raise DataError(f"{source}: there are no answers in it")
    if wanted is not None:
        missing = [name for name in wanted if name not in seen]
        if missing:
            raise DataError(f"{source}: no answers of {missing[0]!r}; there are: {', '.join(seen)}", field="workers")
        return tuple(wanted)
    counts = {name: sum(name in row for row in cells.values()) for name in seen}
    most = max(counts.values())
    kept = tuple(name for name in seen if counts[name] >= coverage * most)
    for name in seen:
        if name not in kept:
            notes.append(f"{source}: {name} is left out: it has {counts[name]} of {most} questions.")
    return kept
