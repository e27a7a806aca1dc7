from __future__ import annotations

import os
import subprocess
import sys
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


FULL_DISK = """
import resource, sys
from pathlib import Path
from kubefugu_core.errors import DataError
from kubefugu_trainer.runs.files import AppendLog, write_json
import numpy as np
from kubefugu_routing.policy import PolicyArtifact, WorkerRow
from kubefugu_trainer.features.store import FeatureStore
from kubefugu_trainer.runs.artifacts import write_artifact

resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
folder = Path(sys.argv[1])
log = AppendLog(folder / "log")
written = 0
try:
    while True:
        log.append({"number": written, "padding": "x" * 200})
        written += 1
except DataError as error:
    print(written, error, sep="\\n")
log.close()
try:
    write_json(folder / "x.json", {"padding": "x" * 9000})
except DataError as error:
    print(error)
head = np.ones((2, 900), dtype=np.float32)
workers = (WorkerRow("a", "a"), WorkerRow("b", "b"))
artifact = PolicyArtifact(backbone_id="x", backbone_revision="y", layer=0, head=head, workers=workers, roles=False)
try:
    write_artifact(folder / "head.safetensors", artifact)
except DataError as error:
    print(error)
with FeatureStore(folder / "features", backbone_revision="y", dtype="float32", fmt="raw", max_tokens=16, width=900) as store:
    store.add([b"1" * 32], head[:1])
    try:
        store.add([b"2" * 32], head[:1])
    except DataError as error:
        print(error, len(store), store.get([b"1" * 32]).sum(), sep="; ")
"""


def test_a_full_disk_is_said_and_loses_no_earlier_line(tmp_path: Path) -> None:
    # Files of the child may grow to 4 kB: the system's way of saying that there is no more space. A child, because the limit
    # would also hold for the file that this process's own output may go to.
    child = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=True)
    written, append_error, write_error, artifact_error, store_error = child.stdout.splitlines()
    assert 0 < int(written) < 100
    assert "cannot be written" in append_error
    assert "cannot be written" in write_error
    log = AppendLog(tmp_path / "log")
    assert [line["number"] for line in log.read()] == list(range(int(written)))
    log.close()
    assert not (tmp_path / "x.json").exists()
    assert "head.safetensors: cannot be written" in artifact_error
    assert not (tmp_path / "head.safetensors").exists()
    assert "the feature cache cannot be written" in store_error
    assert store_error.endswith("; 1; 900.0")  # the earlier row is still there


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
