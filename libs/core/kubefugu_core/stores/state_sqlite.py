"""The state store in one SQLite file (WAL), on a thread of its own. Several processes may share the file.

https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from kubefugu_core.errors import UnavailableError
from kubefugu_core.stores.wal import use_wal

_Result = TypeVar("_Result")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS state_values (key TEXT PRIMARY KEY, value BLOB NOT NULL, expires_at REAL);
CREATE INDEX IF NOT EXISTS state_values_expiry ON state_values (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS state_logs (
    seq INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB NOT NULL, expires_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS state_logs_key ON state_logs (key, seq);
CREATE INDEX IF NOT EXISTS state_logs_expiry ON state_logs (expires_at);
"""


class SqliteState:
    """See StateStore. Each call is one transaction; what has expired is removed by the next write."""

    def __init__(self, path: Path, *, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="state")
        self._connection: sqlite3.Connection | None = None

    async def put(self, key: str, value: bytes, *, ttl_s: float) -> None:
        """See StateStore."""
        now = self._now()

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM state_values WHERE expires_at < ?", (now,))
            connection.execute("REPLACE INTO state_values (key, value, expires_at) VALUES (?, ?, ?)", (key, value, now + ttl_s))

        await self._run(write)

    async def get(self, key: str) -> bytes | None:
        """See StateStore."""
        now = self._now()

        def read(connection: sqlite3.Connection) -> bytes | None:
            row = connection.execute(
                "SELECT value FROM state_values WHERE key = ? AND (expires_at IS NULL OR expires_at >= ?)", (key, now)
            ).fetchone()
            return None if row is None else bytes(row[0])

        return await self._run(read)

    async def put_once(self, key: str, value: bytes) -> bytes:
        """See StateStore."""

        def write(connection: sqlite3.Connection) -> bytes:
            connection.execute("INSERT OR IGNORE INTO state_values (key, value, expires_at) VALUES (?, ?, NULL)", (key, value))
            row = connection.execute("SELECT value FROM state_values WHERE key = ?", (key,)).fetchone()
            return bytes(row[0])

        return await self._run(write)

    async def append(self, key: str, entries: Sequence[bytes], *, keep: int, ttl_s: float) -> None:
        """See StateStore."""
        now = self._now()
        rows = [(key, entry, now + ttl_s) for entry in entries]

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM state_logs WHERE expires_at < ?", (now,))
            connection.executemany("INSERT INTO state_logs (key, value, expires_at) VALUES (?, ?, ?)", rows)
            connection.execute("UPDATE state_logs SET expires_at = ? WHERE key = ?", (now + ttl_s, key))
            connection.execute(
                "DELETE FROM state_logs WHERE key = ? AND seq NOT IN "
                "(SELECT seq FROM state_logs WHERE key = ? ORDER BY seq DESC LIMIT ?)",
                (key, key, keep),
            )

        if rows:
            await self._run(write)

    async def read(self, key: str) -> list[bytes]:
        """See StateStore."""
        now = self._now()

        def rows(connection: sqlite3.Connection) -> list[bytes]:
            found = connection.execute(
                "SELECT value FROM state_logs WHERE key = ? AND expires_at >= ? ORDER BY seq", (key, now)
            ).fetchall()
            return [bytes(row[0]) for row in found]

        return await self._run(rows)

    async def close(self) -> None:
        """Close the file."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    async def _run(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, work)
        except (sqlite3.Error, OSError) as error:
            raise UnavailableError(f"The state store {self._path} cannot be used: {error}.") from error

    def _transact(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        connection = self._open()
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(connection)
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
        return result

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=5.0, isolation_level=None)
            use_wal(connection)
            # With WAL, NORMAL survives a killed process; only a power cut may lose the last commits.
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.executescript(_SCHEMA)
            self._connection = connection
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
