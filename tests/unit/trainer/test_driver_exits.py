"""Exit codes of a driver: a volume that is full is tried again, an input that can't be used is not."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from kubefugu_core.errors import DataError
from kubefugu_trainer.driver import main


def config(folder: Path) -> Path:
    document = {
        "run": {"uid": "u", "name": "n"}, "algorithm": "supervised", "backbone": {"ref": "x"}, "pool": "pool.yaml",
        "data": {"location": "x", "sha256": ""}, "storage": {"directory": str(folder)},
    }  # fmt: skip
    path = folder / "config.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, main.EXIT_FAILED), (errno.EIO, main.EXIT_FAILED), (errno.EACCES, main.EXIT_INVALID)]
)
async def test_error_of_the_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int, code: int) -> None:
    def train(*_: Any) -> Any:
        # As runs/files.py says it.
        try:
            raise OSError(number, os.strerror(number))
        except OSError as error:
            raise DataError(f"metrics.jsonl: cannot be written: {error.strerror}") from error

    monkeypatch.setattr(main, "algorithm", lambda name: train)
    last_words = tmp_path / "termination-log"
    assert await main.drive(config(tmp_path), listen="127.0.0.1:0", hold_s=0, termination_log=last_words) == code
    assert os.strerror(number) in json.loads(last_words.read_text())["message"]


async def test_input_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def train(*_: Any) -> Any:
        raise DataError("no such column", field="data")

    monkeypatch.setattr(main, "algorithm", lambda name: train)
    assert await main.drive(config(tmp_path), listen="127.0.0.1:0", hold_s=0, termination_log=None) == main.EXIT_INVALID
