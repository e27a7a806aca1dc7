"""A run's directory.

    config.json        the frozen configuration and the checksums of what it read
    metrics.jsonl      append-only figures
    checkpoints/*.npz  finished pieces of work, each complete or absent
    artifact.safetensors, report.json, plots/*.png

Opening the directory of a run with the same configuration continues it; with another one is refused.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from kubefugu_core.errors import ConflictError, DataError
from kubefugu_trainer.runs.files import AppendLog, replace_file, write_json


class RunDirectory:
    """One run on disk. Held by one process at a time."""

    def __init__(self, path: Path, *, config: Mapping[str, Any]) -> None:
        """Create or continue. Raises ConflictError (held, or another run's) or DataError (cannot be written)."""
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(path / ".lock")
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise ConflictError(f"{path}: another process is working on this run") from error
        except OSError as error:
            raise DataError(f"{path}: cannot be written: {error.strerror or error}") from error
        try:
            self._freeze(config)
            self.metrics = AppendLog(path / "metrics.jsonl")
        except BaseException:
            self._lock.release()
            raise

    def _freeze(self, config: Mapping[str, Any]) -> None:
        file = self.path / "config.json"
        if not file.is_file():
            write_json(file, dict(config))
            return
        known = orjson.loads(file.read_bytes())
        wanted = orjson.loads(orjson.dumps(dict(config), option=orjson.OPT_SERIALIZE_NUMPY))
        for name in sorted(known.keys() | wanted.keys()):
            if known.get(name) != wanted.get(name):
                raise ConflictError(
                    f"{self.path}: this directory holds a run with {name} = {known.get(name)!r}, not {wanted.get(name)!r}; "
                    "choose another --out",
                    field=name,
                )

    @property
    def artifact(self) -> Path:
        """The trained policy's file."""
        return self.path / "artifact.safetensors"

    @property
    def report(self) -> Path:
        """Written last: a run with a report is finished."""
        return self.path / "report.json"

    def save(self, name: str, **arrays: NDArray[Any]) -> None:
        """Write a checkpoint, complete or absent."""
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]  # one might be called allow_pickle
        with replace_file(self.path / "checkpoints" / f"{name}.npz") as file:
            file.write(buffer.getvalue())

    def load(self, name: str) -> dict[str, NDArray[Any]] | None:
        """A checkpoint's arrays; None where there is none."""
        file = self.path / "checkpoints" / f"{name}.npz"
        if not file.is_file():
            return None
        # Read whole first: numpy leaves the file open where it is not an archive.
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}

    def close(self) -> None:
        """Let go of the directory."""
        self.metrics.close()
        self._lock.release()
