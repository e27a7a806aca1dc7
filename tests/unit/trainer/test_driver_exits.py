"""How a driver ends: a full volume is tried again, an unusable input is not, an artifact is handed out or named by its URL."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from kubefugu.trainer.v1 import trainer_pb2
from kubefugu_core.errors import DataError
from kubefugu_trainer.driver import main
from kubefugu_trainer.driver.report import Report
from kubefugu_trainer.driver.service import TrainerServicer
from kubefugu_trainer.driver.state import RunProgress


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


@pytest.mark.parametrize(
    ("size", "uri", "inline"),
    [
        (900_000, "s3://bucket/run/artifact.safetensors", True),
        (900_001, "s3://bucket/run/artifact.safetensors", False),
        (900_001, "file:///volume/run/artifact.safetensors", True),  # the operator says that it is too large
        ((3 << 20) + 1, "file:///volume/run/artifact.safetensors", False),
    ],
)
async def test_an_artifact_with_a_url_is_handed_out_only_where_it_fits_into_the_cluster(
    tmp_path: Path, size: int, uri: str, inline: bool
) -> None:
    path = tmp_path / "artifact.safetensors"
    path.write_bytes(b"w" * size)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    servicer = TrainerServicer(RunProgress(run_id="u", algorithm="grpo"))
    servicer.finish(path, Report(reason="Trained", artifact_uri=uri, artifact_sha256=digest))
    context: Any = None
    answer = await servicer.GetArtifact(trainer_pb2.GetArtifactRequest(), context)
    assert (len(answer.content), answer.sha256) == (size if inline else 0, digest)
    assert json.loads(answer.report_json)["artifact_uri"] == uri
