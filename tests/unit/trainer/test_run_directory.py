from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kubefugu_core.errors import ConflictError, DataError
from kubefugu_trainer.runs.directory import RunDirectory
from kubefugu_trainer.runs.files import AppendLog, replace_file, write_json


def test_a_run_is_continued_by_the_same_configuration_only(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run", config={"seed": 1, "taus": (0.1, 1.0)})
    run.save("fold-0", weights=np.eye(2))
    run.metrics.append({"event": "x", "value": np.float64(0.5)})
    run.close()
    again = RunDirectory(tmp_path / "run", config={"seed": 1, "taus": (0.1, 1.0)})
    np.testing.assert_array_equal((again.load("fold-0") or {})["weights"], np.eye(2))
    assert again.load("fold-1") is None
    assert again.metrics.read() == [{"event": "x", "value": 0.5}]
    again.close()
    with pytest.raises(ConflictError, match=r"holds a run with seed = 1, not 2; choose another --out"):
        RunDirectory(tmp_path / "run", config={"seed": 2, "taus": (0.1, 1.0)})


def test_a_directory_is_held_by_one(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run", config={})
    with pytest.raises(ConflictError, match="another process is working"):
        RunDirectory(tmp_path / "run", config={})
    run.close()
    RunDirectory(tmp_path / "run", config={}).close()


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="cannot be written"):
        RunDirectory(tmp_path / "file" / "run", config={})
    with pytest.raises(DataError, match="cannot be written"):
        write_json(tmp_path / "file" / "x.json", {})


def test_a_file_is_complete_or_absent(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": 1})
    with pytest.raises(RuntimeError), replace_file(tmp_path / "x.json") as file:
        file.write(b"half")
        raise RuntimeError("killed")
    assert (tmp_path / "x.json").read_bytes() == b'{\n  "a": 1\n}\n'
    assert os.listdir(tmp_path) == ["x.json"]


@pytest.fixture
def little_room() -> Iterator[None]:
    """Files may grow to 4 kB: the system's way of saying that there is no more space."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("little_room")
def test_a_full_disk_is_said_and_loses_no_earlier_line(tmp_path: Path) -> None:
    log = AppendLog(tmp_path / "log")
    written = 0
    with pytest.raises(DataError, match="cannot be written"):
        for number in range(100):
            log.append({"number": number, "padding": "x" * 200})
            written += 1
    log.close()
    log = AppendLog(tmp_path / "log")
    assert [line["number"] for line in log.read()] == list(range(written))
    log.close()
    with pytest.raises(DataError, match="cannot be written"):
        write_json(tmp_path / "x.json", {"padding": "x" * 9000})
    assert not (tmp_path / "x.json").exists()


def test_a_line_that_was_cut_is_dropped(tmp_path: Path) -> None:
    log = AppendLog(tmp_path / "log")
    log.append({"a": 1})
    log.append({"a": 2})
    log.close()
    raw = (tmp_path / "log").read_bytes()
    (tmp_path / "log").write_bytes(raw[:-2])
    log = AppendLog(tmp_path / "log")
    assert log.read() == [{"a": 1}]
    log.append({"a": 3})
    assert log.read() == [{"a": 1}, {"a": 3}]
    log.close()
