"""A run's directory in an object store (spec.storage.url): fetched when a driver starts, copied up at each safe point.

The prefix is the URL and the run's uid, so that runs may share a URL. What is copied up is enough for a driver on another node
to go on; a store that does not answer in between is asked again at the next safe point, at the end it must answer.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import structlog

from kubefugu_core.errors import UnavailableError
from kubefugu_trainer.driver.config import DriverConfig
from kubefugu_trainer.runs.mirror import Mirror

_REPLIES, _SAVED = "replies.sqlite", "saved.sqlite"
"""The cache of replies is written to at any time: what travels is a copy."""
_log = structlog.get_logger()


class RunStore:
    """Where a run's directory is kept beside the pod. Without a URL nothing is done."""

    def __init__(self, config: DriverConfig) -> None:
        """Raises DataError for a URL that no installed file system takes."""
        self._directory = config.storage.directory
        url = config.storage.url.rstrip("/")
        self._mirror = Mirror(f"{url}/{config.run.uid}", path=self._directory, field="storage.url") if url else None

    def uri(self, path: Path) -> str:
        """URL of a file of the directory: of its copy where there is one."""
        if self._mirror is None:
            return path.as_uri()
        return f"{self._mirror.url}/{path.relative_to(self._directory)}"

    def fetch(self) -> None:
        """Get what an earlier driver left, into an empty directory. Raises UnavailableError."""
        if self._mirror is None or any(self._directory.glob("*")):
            return
        self._mirror.pull()
        for saved in self._directory.rglob(_SAVED):
            saved.replace(saved.with_name(_REPLIES))

    def safe(self) -> None:
        """Copy up what is new; called where the directory is complete, by whoever writes to it."""
        try:
            self.keep()
        except UnavailableError as error:
            _log.warning("run_not_copied", message=error.message)

    def keep(self) -> None:
        """The same, but raises UnavailableError."""
        if self._mirror is None:
            return
        for replies in self._directory.rglob(_REPLIES):
            with contextlib.suppress(sqlite3.Error):  # without its replies a run goes on, too: it asks again
                _copy(replies, replies.with_name(_SAVED))
        self._mirror.push()


def _copy(database: Path, target: Path) -> None:
    """A consistent copy of a database that others write to; complete or absent."""
    aside = target.with_name(f".{target.name}")
    aside.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(database)) as source, contextlib.closing(sqlite3.connect(aside)) as copy:
        source.backup(copy)
    if not target.is_file() or target.read_bytes() != aside.read_bytes():
        aside.replace(target)
