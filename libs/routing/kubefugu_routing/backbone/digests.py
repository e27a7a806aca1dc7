"""sha256 of large files, remembered by path, size and modification time, so that a second start does not read gigabytes."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path

from kubefugu_core.settings import cache_home


def file_sha256(path: Path) -> str:
    """Lower-case hex sha256 of a file."""
    stat = path.stat()
    stamp = [str(path.resolve()), stat.st_size, stat.st_mtime_ns]
    note = cache_home() / "digests" / f"{hashlib.sha256(str(stamp[0]).encode()).hexdigest()}.json"
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
        if known["stamp"] == stamp:
            return str(known["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # absent or unreadable: hash the file
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    write_aside(note, json.dumps({"stamp": stamp, "sha256": digest}).encode())
    return digest


def write_aside(path: Path, content: bytes) -> None:
    """Write a file completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    Path(aside).replace(path)
