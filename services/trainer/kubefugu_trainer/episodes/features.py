"""Hidden states of transcripts, computed once: in memory, and on disk for other processes and later runs.

Every transcript goes through the backbone alone, because the last bits of a hidden state depend on its batch; what the first
process computed is what all others read, so that evaluators agree bit for bit.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kubefugu_core.errors import DataError

Transcript = Sequence[tuple[str, str]]
Feature = NDArray[np.float32]
_BUSY_S = 60.0


class Features(Protocol):
    """The router's view of a transcript."""

    def feature(self, transcript: Transcript) -> Feature:
        """(d,) float32."""
        ...


class FeatureBank:
    """All transcripts that were met."""

    def __init__(
        self,
        path: Path,
        *,
        revision: str,
        tokens: Callable[[Transcript, int], Sequence[int]],
        compute: Callable[[Sequence[int]], Feature],
    ) -> None:
        """`tokens`: transcript and number of worker rows (the dispatcher prompt names it) to token ids as served; `compute`:
        token ids to (d,). Raises DataError for an unusable file."""
        self._path = path
        self._revision = revision
        self._tokens = tokens
        self._compute = compute
        self._known: dict[tuple[int, tuple[tuple[str, str], ...]], Feature] = {}
        self.computed = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("CREATE TABLE IF NOT EXISTS features (key TEXT PRIMARY KEY, row BLOB NOT NULL) WITHOUT ROWID")
        except (OSError, sqlite3.Error) as error:
            raise DataError(f"{path}: the feature cache cannot be used: {error}") from error

    def of(self, num_agents: int) -> Features:
        """What a policy with so many worker rows sees."""
        return _View(self, num_agents)

    def feature(self, transcript: Transcript, num_agents: int) -> Feature:
        """(d,) float32."""
        known = (num_agents, tuple(transcript))
        if known not in self._known:
            self._known[known] = self._stored(self._tokens(transcript, num_agents))
        return self._known[known]

    def _stored(self, ids: Sequence[int]) -> Feature:
        key = hashlib.sha256(self._revision.encode() + np.asarray(ids, dtype="<i4").tobytes()).hexdigest()
        try:
            found = self._read(key)
            if found is None:
                row = np.ascontiguousarray(self._compute(ids), dtype="<f4")
                self.computed += 1
                self._db.execute("INSERT INTO features VALUES (?, ?) ON CONFLICT(key) DO NOTHING", (key, row.tobytes()))
                found = self._read(key)
        except sqlite3.Error as error:
            raise DataError(f"{self._path}: the feature cache cannot be written: {error}") from error
        return np.frombuffer(found or row.tobytes(), dtype="<f4").astype(np.float32)

    def _read(self, key: str) -> bytes | None:
        row = self._db.execute("SELECT row FROM features WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def close(self) -> None:
        """Close the file."""
        self._db.close()


class _View:
    def __init__(self, bank: FeatureBank, num_agents: int) -> None:
        self._bank = bank
        self._num_agents = num_agents

    def feature(self, transcript: Transcript) -> Feature:
        return self._bank.feature(transcript, self._num_agents)
