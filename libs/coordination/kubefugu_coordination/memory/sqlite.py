"""The store in one SQLite file (WAL): for one machine, where several processes may share it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from kubefugu_coordination.clock import Clock, SystemClock
from kubefugu_core.errors import UnavailableError

_T = TypeVar("_T")
_BUSY_MS = 5_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS state_values(key TEXT PRIMARY KEY, value BLOB NOT NULL, expires_at REAL);
CREATE INDEX IF NOT EXISTS state_values_expiry ON state_values(expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS state_logs(
  seq INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB NOT NULL, expires_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS state_logs_key ON state_logs(key, seq);
CREATE INDEX IF NOT EXISTS state_logs_expiry ON state_logs(expires_at);
"""


class SqliteStateStore:
    """Implements StateStore. Statements run in worker threads, one at a time; writes are transactions."""

    def __init__(self, connection: sqlite3.Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._lock = threading.Lock()

    @classmethod
    async def open(cls, path: str, *, clock: Clock | None = None) -> SqliteStateStore:
        """Open or create the file. Raises UnavailableError."""

        def connect() -> sqlite3.Connection:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.executescript(_SCHEMA)
            return connection

        try:
            return cls(await asyncio.to_thread(connect), clock or SystemClock())
        except (sqlite3.Error, OSError) as error:
            raise UnavailableError(f"The state store {path} cannot be opened: {error}") from error

    async def put(self, key: str, value: bytes, *, ttl_s: float) -> None:
        """See StateStore. Expired values are removed on the way."""
        now = self._clock.time()

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM state_values WHERE expires_at < ?", (now,))
            connection.execute("REPLACE INTO state_values(key, value, expires_at) VALUES(?, ?, ?)", (key, value, now + ttl_s))

        await self._run(write)

    async def get(self, key: str) -> bytes | None:
        """See StateStore."""
        now = self._clock.time()

        def read(connection: sqlite3.Connection) -> bytes | None:
            row = connection.execute(
                "SELECT value FROM state_values WHERE key = ? AND (expires_at IS NULL OR expires_at >= ?)", (key, now)
            ).fetchone()
            return None if row is None else bytes(row[0])

        return await self._run(read)

    async def put_once(self, key: str, value: bytes) -> bytes:
        """See StateStore."""

        def write(connection: sqlite3.Connection) -> bytes:
            connection.execute("INSERT OR IGNORE INTO state_values(key, value, expires_at) VALUES(?, ?, NULL)", (key, value))
            row = connection.execute("SELECT value FROM state_values WHERE key = ?", (key,)).fetchone()
            return bytes(row[0])

        return await self._run(write)

    async def append(self, key: str, entries: Sequence[bytes], *, keep: int, ttl_s: float) -> None:
        """See StateStore."""
        now = self._clock.time()

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM state_logs WHERE expires_at < ?", (now,))
            rows = [(key, entry, now + ttl_s) for entry in entries]
            connection.executemany("INSERT INTO state_logs(key, value, expires_at) VALUES(?, ?, ?)", rows)
            connection.execute("UPDATE state_logs SET expires_at = ? WHERE key = ?", (now + ttl_s, key))
            connection.execute(
                "DELETE FROM state_logs WHERE key = ? AND seq NOT IN "
                "(SELECT seq FROM state_logs WHERE key = ? ORDER BY seq DESC LIMIT ?)",
                (key, key, keep),
            )

        await self._run(write)

    async def read(self, key: str) -> list[bytes]:
        """See StateStore."""
        now = self._clock.time()

        def rows(connection: sqlite3.Connection) -> list[bytes]:
            found = connection.execute(
                "SELECT value FROM state_logs WHERE key = ? AND expires_at >= ? ORDER BY seq", (key, now)
            ).fetchall()
            return [bytes(row[0]) for row in found]

        return await self._run(rows)

    async def close(self) -> None:
        """See StateStore."""

        def shut() -> None:
            with self._lock:
                self._connection.close()

        await asyncio.to_thread(shut)

    async def _run(self, job: Callable[[sqlite3.Connection], _T]) -> _T:
        def locked() -> _T:
            with self._lock:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    result = job(self._connection)
                    self._connection.execute("COMMIT")
                except BaseException:
                    self._connection.execute("ROLLBACK")
                    raise
                return result

        try:
            return await asyncio.to_thread(locked)
        except sqlite3.Error as error:
            raise UnavailableError(f"The state store failed: {error}") from error
