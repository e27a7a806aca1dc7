"""Decision records in one SQLite file (WAL). Every statement runs on one thread of its own, never on the event loop's.

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
from kubefugu_core.stores.decisions import DEFAULT_RETENTION, Retention, StoredDecision
from kubefugu_core.stores.wal import use_wal

_Result = TypeVar("_Result")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS decisions (
    tenant TEXT NOT NULL, record_id TEXT NOT NULL, created REAL NOT NULL, payload BLOB NOT NULL,
    PRIMARY KEY (tenant, record_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS decisions_created ON decisions (created);
"""


class SqliteDecisions:
    """See DecisionStore. Several processes may share the file."""

    def __init__(self, path: Path, *, retention: Retention = DEFAULT_RETENTION, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._retention = retention
        self._now = now
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decisions")
        self._connection: sqlite3.Connection | None = None

    async def put_many(self, records: Sequence[StoredDecision]) -> None:
        """See DecisionStore."""
        rows = [(record.tenant, record.record_id, record.created, record.payload) for record in records]
        await self._run(lambda: self._put(rows))

    async def get(self, tenant: str, record_id: str) -> bytes | None:
        """See DecisionStore."""
        return await self._run(lambda: self._get(tenant, record_id))

    async def close(self) -> None:
        """Close the file."""
        await self._run(self._close)
        self._thread.shutdown()

    async def _run(self, work: Callable[[], _Result]) -> _Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise UnavailableError(f"The decision store {self._path} cannot be used: {error}.") from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise sqlite3.OperationalError(str(error)) from error
            connection = sqlite3.connect(self._path, timeout=5.0, isolation_level=None)
            use_wal(connection)
            # With WAL, NORMAL survives a killed process; only a power cut may lose the last commits.
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.executescript(_SCHEMA)
            self._connection = connection
        return self._connection

    def _put(self, rows: list[tuple[str, str, float, bytes]]) -> None:
        connection = self._open()
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany("INSERT OR REPLACE INTO decisions VALUES (?, ?, ?, ?)", rows)
            connection.execute("DELETE FROM decisions WHERE created < ?", (self._now() - self._retention.ttl_s,))
            (count,) = connection.execute("SELECT COUNT(*) FROM decisions").fetchone()
            if (excess := count - self._retention.max_records) > 0:
                connection.execute(
                    "DELETE FROM decisions WHERE (tenant, record_id) IN "
                    "(SELECT tenant, record_id FROM decisions ORDER BY created LIMIT ?)",
                    (excess,),
                )
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def _get(self, tenant: str, record_id: str) -> bytes | None:
        row = (
            self._open()
            .execute(
                "SELECT payload FROM decisions WHERE tenant = ? AND record_id = ? AND created >= ?",
                (tenant, record_id, self._now() - self._retention.ttl_s),
            )
            .fetchone()
        )
        return None if row is None else bytes(row[0])

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
