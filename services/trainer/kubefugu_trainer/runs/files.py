"""Files that are complete or absent: written aside, flushed to disk, renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import orjson

from kubefugu_core.errors import DataError


@contextlib.contextmanager
def replace_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that appears under its name only when the block ends well. Raises DataError when the disk refuses."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            aside = Path(file.name)
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                aside.chmod(0o644)
                aside.replace(path)
            except BaseException:
                aside.unlink(missing_ok=True)
                raise
        _sync_directory(path.parent)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from error


def _sync_directory(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document, keys sorted, complete or absent."""
    with replace_file(path) as file:
        file.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY) + b"\n")


class AppendLog:
    """An append-only file of JSON lines. A line is on disk when `append` returns; a cut last line is dropped on opening."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            self._cut_tail()
        except OSError as error:
            raise DataError(f"{path}: cannot be written: {error.strerror or error}") from error

    def _cut_tail(self) -> None:
        raw = self.path.read_bytes()
        whole = raw.rfind(b"\n") + 1
        if whole != len(raw):
            os.ftruncate(self._handle, whole)

    def read(self) -> list[dict[str, Any]]:
        """All complete lines."""
        return [orjson.loads(line) for line in self.path.read_bytes().splitlines() if line.strip()]

    def append(self, record: dict[str, Any]) -> None:
        """Add one line and wait until it is on disk. Raises DataError when the disk refuses; nothing before is lost."""
        line = orjson.dumps(record, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n"
        try:
            size = os.fstat(self._handle).st_size
            written = os.write(self._handle, line)
            if written != len(line):
                os.ftruncate(self._handle, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fdatasync(self._handle)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be written: {error.strerror or error}") from error

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)
