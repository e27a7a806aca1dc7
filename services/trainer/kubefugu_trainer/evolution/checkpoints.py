"""Checkpoints of an evolution run: the optimiser's whole state with its generator, and the generation's figures.

A checkpoint is complete or absent: the archive is written aside, flushed and renamed, then its line is appended to
checkpoints.jsonl. The newest line whose archive is there is where a run goes on.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from kubefugu_core.errors import DataError
from kubefugu_trainer.evolution.sepcma import State
from kubefugu_trainer.runs.directory import RunDirectory
from kubefugu_trainer.runs.files import AppendLog

_KEPT = 3
_RECORD = "record"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """State after a generation was told, and what metrics.jsonl says about it."""

    state: State
    record: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._log = AppendLog(run.path / "checkpoints.jsonl")

    def save(self, checkpoint: Checkpoint) -> None:
        """Write one; it counts when this returns."""
        name = _name(checkpoint.state.generation)
        record = orjson.dumps(checkpoint.record, option=orjson.OPT_SERIALIZE_NUMPY)
        self._run.save(name, **checkpoint.state.to_arrays(), **{_RECORD: np.frombuffer(record, dtype=np.uint8)})
        self._log.append({"generation": checkpoint.state.generation, "file": f"checkpoints/{name}.npz"})
        if checkpoint.state.generation >= _KEPT:
            self._file(checkpoint.state.generation - _KEPT).unlink(missing_ok=True)

    def latest(self) -> Checkpoint | None:
        """The newest complete one; None for a run that has none. Raises DataError where its archive is damaged."""
        for line in reversed(self._log.read()):
            name = _name(int(line["generation"]))
            try:
                arrays = self._run.load(name)
            except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
                raise DataError(f"{self._file(int(line['generation']))}: damaged: {error}") from error
            if arrays is not None:
                if _RECORD not in arrays:
                    raise DataError(f"{self._file(int(line['generation']))}: the checkpoint lacks its record.")
                record = orjson.loads(arrays.pop(_RECORD).tobytes())
                return Checkpoint(State.from_arrays(arrays), record)
        return None

    def _file(self, generation: int) -> Path:
        return self._run.path / "checkpoints" / f"{_name(generation)}.npz"

    def close(self) -> None:
        """Close the list."""
        self._log.close()


def _name(generation: int) -> str:
    return f"generation-{generation:06d}"
