"""The outcome table in memory: one row a question, one column a worker. Pure data, no files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubefugu_core.errors import DataError

Message = tuple[str, str]
"""(role, text)."""
Messages = tuple[Message, ...]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SPLITS = ("train", "valid", "test")
"""Known values of the split column; valid is optional."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeTable:
    """Measured outcomes of L workers on n questions. Arrays are (n, L), in the order of `workers`."""

    workers: tuple[str, ...]
    """Names of the workers, unique, in column order."""
    messages: tuple[Messages, ...]
    """The question of each row, as a conversation."""
    splits: tuple[str, ...]
    """train, valid or test for each row."""
    scores: FloatArray
    """Mean score in [0, 1]."""
    groups: tuple[str, ...] | None = None
    """Label of each row; None where the table has none. Routers never see it."""
    slices: tuple[str, ...] | None = None
    """Second label of each row, for reports only."""
    costs: FloatArray | None = None
    """US dollars of one answer; None where not given for every worker."""
    tokens: FloatArray | None = None
    """Tokens of one answer; None where not given for every worker."""
    repeats: tuple[tuple[tuple[float, ...], ...], ...] | None = None
    """Single measurements behind each score (row, worker, repeat), for the cross-fitted oracle; None where unknown."""
    source: str = ""
    """File that it was read from."""
    sha256: str = ""
    """Checksum of that file."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """How the table was made; `models` maps worker to model id."""
    notes: tuple[str, ...] = ()
    """What the reader left out, in sentences."""

    def __len__(self) -> int:
        return len(self.messages)

    def rows(self, split: str) -> IntArray:
        """Row numbers of a split, ascending."""
        return np.flatnonzero(np.asarray(self.splits, dtype=object) == split).astype(np.int64)

    def select_workers(self, names: Sequence[str]) -> OutcomeTable:
        """The same questions for some of the workers, in the order given. Raises DataError for an unknown or doubled name."""
        missing = [name for name in names if name not in self.workers]
        if missing:
            raise DataError(
                f"{self.source}: no column 'score:{missing[0]}'; the table has scores of: {', '.join(self.workers)}",
                field=f"score:{missing[0]}",
            )
        if len(set(names)) != len(names) or not names:
            raise DataError(
                f"{self.source}: the list of workers is empty or names one twice: {', '.join(names)}", field="workers"
            )
        columns = [self.workers.index(name) for name in names]
        return replace(
            self,
            workers=tuple(names),
            scores=self.scores[:, columns],
            costs=None if self.costs is None else self.costs[:, columns],
            tokens=None if self.tokens is None else self.tokens[:, columns],
            repeats=None if self.repeats is None else tuple(tuple(row[c] for c in columns) for row in self.repeats),
        )

    def take(self, rows: Sequence[int] | IntArray) -> OutcomeTable:
        """The same workers on some of the rows, in the order given."""
        index = [int(row) for row in rows]
        return replace(
            self,
            messages=tuple(self.messages[i] for i in index),
            splits=tuple(self.splits[i] for i in index),
            scores=self.scores[index],
            groups=None if self.groups is None else tuple(self.groups[i] for i in index),
            slices=None if self.slices is None else tuple(self.slices[i] for i in index),
            costs=None if self.costs is None else self.costs[index],
            tokens=None if self.tokens is None else self.tokens[index],
            repeats=None if self.repeats is None else tuple(self.repeats[i] for i in index),
        )
