"""A run directory under an object prefix (any fsspec URL): worked on locally, copied up at each safe point, fetched to go on.

Files that name others (checkpoints.jsonl, complete.json, status.json, report.json) go up after what they name, so whoever reads
the prefix at any moment finds a run that can be continued; what is gone here goes there, the naming file first. One driver
works on a prefix at a time; nothing enforces it there.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from kubefugu_core.errors import DataError, UnavailableError
from kubefugu_core.settings import cache_home

_LAST = ("complete.json", "checkpoints.jsonl", "metrics.jsonl", "artifact.safetensors", "status.json", "report.json")
_LOCAL = (".", "replies.")
"""How names of what stays here begin: this machine's lock, and the caches of replies and features."""


def is_url(place: str) -> bool:
    """True for s3://bucket/prefix and the like."""
    return "://" in place


def _failures() -> tuple[type[Exception], ...]:
    """What a store that can't be used raises; s3's client has errors of its own, missing credentials for one."""
    try:
        from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]  # botocore has none
    except ImportError:
        return (OSError,)
    return (OSError, BotoCoreError)


def _place(name: str) -> tuple[int, str]:
    """Where a file goes in the order of sending; a file that names others comes late, whatever folder it is in."""
    last = name.rsplit("/", 1)[-1]
    return (_LAST.index(last) + 1 if last in _LAST else 0, name)


class Mirror:
    """One prefix and its local directory."""

    def __init__(self, url: str, *, path: Path | None = None, field: str = "out") -> None:
        """`path`: the local directory; None: one in the cache. `field`: what the URL is called where it was given.

        Raises DataError for a URL that no installed file system takes.
        """
        import fsspec

        self.url = url.rstrip("/")
        try:
            self._files, self._root = fsspec.core.url_to_fs(self.url)
        except (ValueError, ImportError) as error:
            raise DataError(f"{url}: {error}", field=field) from error
        self._field = field
        name = hashlib.sha256(self.url.encode()).hexdigest()[:16]
        self.path = path or cache_home() / "runs" / f"{self.url.rsplit('/', 1)[-1]}-{name}"
        self._known: dict[str, tuple[int, int]] = {}

    def pull(self) -> Path:
        """Fetch what is there, replacing the local copy where the prefix is ahead; returns the local directory."""
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            found = [name for name in self._files.find(self._root) if not name.endswith("/")] if self._exists() else []
            ours = {name: str(Path(name).relative_to(self._root)) for name in found}
            if ours and self._ahead():
                for remote, local in ours.items():
                    target = self.path / local
                    target.parent.mkdir(parents=True, exist_ok=True)
                    self._files.get_file(remote, str(target))
                    self._known[local] = self._stamp(local)
        except _failures() as error:
            raise UnavailableError(f"{self.url}: {error}", field=self._field) from error
        return self.path

    def push(self) -> None:
        """Copy up what changed. Raises UnavailableError; the local directory has everything."""
        here = self._local()
        changed = [(path, stamp) for path in here if self._known.get(path) != (stamp := self._stamp(path))]
        gone = sorted(self._known.keys() - set(here), key=_place, reverse=True)
        try:
            for name, stamp in sorted(changed, key=lambda item: _place(item[0])):
                target = f"{self._root}/{name}"
                self._files.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
                self._files.put_file(str(self.path / name), target)
                self._known[name] = stamp
            for name in gone:
                self._files.rm_file(f"{self._root}/{name}")
                del self._known[name]
        except _failures() as error:
            raise UnavailableError(f"{self.url}: {error}", field=self._field) from error

    def _exists(self) -> bool:
        return bool(self._files.exists(self._root))

    def _ahead(self) -> bool:
        """True where the prefix holds no fewer checkpoints than this machine: it may have been worked on elsewhere."""
        remote = f"{self._root}/checkpoints.jsonl"
        theirs = self._files.cat_file(remote).count(b"\n") if self._files.exists(remote) else 0
        local = self.path / "checkpoints.jsonl"
        return bool(theirs >= (local.read_bytes().count(b"\n") if local.is_file() else 0))

    def _local(self) -> list[str]:
        files = (path for path in self.path.rglob("*") if path.is_file())
        return [str(path.relative_to(self.path)) for path in files if not path.name.startswith(_LOCAL)]

    def _stamp(self, name: str) -> tuple[int, int]:
        found: Any = (self.path / name).stat()
        return found.st_size, found.st_mtime_ns
