"""Replies on disk, by the full request: what was asked once with temperature 0 costs nothing the next time, in any process.

SQLite in WAL mode: evaluators on one machine share a file, and a reply that `put` has returned for survives SIGKILL. Only
successful replies get here (the worker client stores nothing else), so a transport failure is never found again as an answer.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import tempfile
import time
from pathlib import Path

from kubefugu_core.errors import DataError
from kubefugu_core.stores.wal import use_wal

_BUSY_S = 60.0


def writable(path: Path) -> Path:
    """The file itself where its folder can be written to, else one in the temporary folder that is told apart by its name.

    An evaluator in a pod has no run directory, and nothing but its temporary folder is its own.
    """
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        if os.access(path.parent, os.W_OK):
            return path
    name = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / "kubefugu" / name / path.name


class DiskReplyCache:
    """See ReplyCache. The calls take microseconds to a millisecond; they are not worth a thread."""

    def __init__(self, path: Path) -> None:
        """Open or create. Raises DataError where the file can't be used."""
        self.path = path
        self.hits = 0
        self.misses = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
            use_wal(self._db, timeout_s=_BUSY_S)
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS replies "
                "(key TEXT PRIMARY KEY, completion BLOB NOT NULL, sha256 TEXT NOT NULL, stored REAL NOT NULL) WITHOUT ROWID"
            )
        except (OSError, sqlite3.Error) as error:
            raise DataError(f"{path}: the reply cache cannot be used: {error}") from error

    async def get(self, key: str) -> bytes | None:
        """See ReplyCache. A damaged reply counts as absent."""
        try:
            row = self._db.execute("SELECT completion, sha256 FROM replies WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            raise DataError(f"{self.path}: the reply cache cannot be read: {error}") from error
        if row is None or hashlib.sha256(row[0]).hexdigest() != row[1]:
            self.misses += 1
            return None
        self.hits += 1
        return bytes(row[0])

    async def put(self, key: str, completion: bytes) -> None:
        """See ReplyCache. The first reply to a request stays: evaluators that asked at the same time then agree."""
        try:
            self._db.execute(
                "INSERT INTO replies VALUES (?, ?, ?, ?) ON CONFLICT(key) DO NOTHING",
                (key, completion, hashlib.sha256(completion).hexdigest(), time.time()),
            )
        except sqlite3.Error as error:
            raise DataError(f"{self.path}: the reply cache cannot be written: {error}") from error

    def __len__(self) -> int:
        """Replies that are kept."""
        return int(self._db.execute("SELECT count(*) FROM replies").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._db.close()
