"""Two processes that switch a new SQLite file to its write-ahead log at the same time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from kubefugu_core.stores import wal


@pytest.fixture
def connections(tmp_path: Path) -> Iterator[tuple[sqlite3.Connection, sqlite3.Connection]]:
    """Of one file; the first one has it locked, the second one does not wait by itself."""
    file = tmp_path / "new.db"
    with (
        closing(sqlite3.connect(file, isolation_level=None)) as holder,
        closing(sqlite3.connect(file, isolation_level=None, timeout=0)) as other,
    ):
        holder.execute("BEGIN EXCLUSIVE")
        yield holder, other


def test_a_locked_file_is_asked_again(
    connections: tuple[sqlite3.Connection, sqlite3.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    holder, other = connections
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            holder.rollback()

    monkeypatch.setattr(wal.time, "sleep", pause)
    wal.use_wal(other, timeout_s=60)
    assert len(pauses) == 3
    assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_file_that_stays_locked_is_an_error(connections: tuple[sqlite3.Connection, sqlite3.Connection]) -> None:
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        wal.use_wal(connections[1], timeout_s=0)
