"""Opening a SQLite file that several processes share."""

from __future__ import annotations

import sqlite3
import time

_RETRY_S = 0.02


def use_wal(connection: sqlite3.Connection, *, timeout_s: float = 5.0) -> None:
    """Switch to the write-ahead log. Raises sqlite3.OperationalError where the file stays locked for `timeout_s`.

    SQLite answers "locked" at once, whatever the connection's timeout, when two processes switch a new file at the same time.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() >= deadline:
                raise
            time.sleep(_RETRY_S)
