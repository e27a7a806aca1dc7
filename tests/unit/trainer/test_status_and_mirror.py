"""A run's status over HTTP, and its directory under an object prefix."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from kubefugu_core.errors import DataError, UnavailableError
from kubefugu_trainer.driver.config import DriverConfig
from kubefugu_trainer.driver.storage import RunStore
from kubefugu_trainer.runs.mirror import Mirror, is_url
from kubefugu_trainer.runs.status import StatusServer


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("KUBEFUGU_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    files = fsspec.filesystem("memory")
    if files.exists("/bucket"):
        files.rm("/bucket", recursive=True)


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return bytes(answer.read())


def test_the_status_can_be_polled_while_a_run_writes(tmp_path: Path) -> None:
    with StatusServer("127.0.0.1:0", tmp_path) as server:
        assert json.loads(get(server.url)) == {"state": "preparing"}
        (tmp_path / "status.json").write_text('{"state": "running", "generation": 3}')
        assert json.loads(get(server.url))["generation"] == 3
        (tmp_path / "metrics.jsonl").write_text('{"a": 1}\n{"a": 2}\n{"cut')
        assert get(f"{server.url}metrics").splitlines() == [b'{"a": 1}', b'{"a": 2}']
        assert get(f"{server.url}metrics?from=1").splitlines() == [b'{"a": 2}']
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(f"{server.url}config.json")
        port = server.url.rsplit(":", 1)[1].strip("/")
        with pytest.raises(DataError, match="cannot be opened"):
            StatusServer(f"127.0.0.1:{port}", tmp_path)
    for wrong in ("nonsense", "127.0.0.1:99999999"):
        with pytest.raises(DataError, match="cannot be opened"):
            StatusServer(wrong, tmp_path)


def test_a_run_moves_to_another_machine_through_its_prefix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    url = "memory://bucket/runs/one"
    assert is_url(url)
    assert not is_url("/bucket/one")
    here = Mirror(url)
    folder = here.pull()
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "generation-1.npz").write_bytes(b"first")
    (folder / "checkpoints.jsonl").write_text("1\n")
    (folder / "replies.sqlite-wal").write_bytes(b"stays")
    (folder / ".lock").touch()
    here.push()
    monkeypatch.setenv("KUBEFUGU_HOME", str(tmp_path / "elsewhere"))
    there = Mirror(url)
    moved = there.pull()
    assert moved != folder
    assert (moved / "checkpoints" / "generation-1.npz").read_bytes() == b"first"
    assert not (moved / "replies.sqlite-wal").exists()
    (moved / "checkpoints.jsonl").write_text("1\n2\n")
    there.push()
    monkeypatch.setenv("KUBEFUGU_HOME", str(tmp_path / "home"))
    assert (Mirror(url).pull() / "checkpoints.jsonl").read_text() == "1\n2\n"
    (folder / "checkpoints.jsonl").write_text("1\n2\n3\n")
    assert (Mirror(url).pull() / "checkpoints.jsonl").read_text() == "1\n2\n3\n", "what is ahead here is kept"


def test_lists_go_up_after_what_they_name(monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = Mirror("memory://bucket/runs/two")
    folder = mirror.pull()
    for name in ("report.json", "checkpoints.jsonl", "a.npz", "status.json", "metrics.jsonl"):
        (folder / name).write_text(name)
    sent: list[str] = []
    put = mirror._files.put_file

    def failing(local: str, remote: str) -> None:
        if len(sent) == 2:
            raise OSError("gone")
        sent.append(Path(remote).name)
        put(local, remote)

    monkeypatch.setattr(mirror._files, "put_file", failing)
    with pytest.raises(UnavailableError, match="gone"):
        mirror.push()
    assert sent == ["a.npz", "checkpoints.jsonl"]
    monkeypatch.setattr(mirror._files, "put_file", lambda local, remote: (sent.append(Path(remote).name), put(local, remote)))
    mirror.push()
    assert sent == ["a.npz", "checkpoints.jsonl", "metrics.jsonl", "status.json", "report.json"]
    mirror.push()
    assert len(sent) == 5, "what did not change stays"
    with pytest.raises(DataError, match="nosuch"):
        Mirror("nosuch://bucket/x")


def checkpoint(folder: Path, step: int) -> Path:
    """As the trainer leaves one: files, then the marker."""
    found = folder / "run" / "checkpoints" / "grpo" / f"checkpoint-{step}"
    found.mkdir(parents=True)
    (found / "weights.safetensors").write_bytes(b"w" * step)
    (found / "complete.json").write_text("{}")
    return found


def test_a_checkpoint_is_marked_last_and_unmarked_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mirror = Mirror("memory://bucket/runs/three", path=tmp_path / "work", field="storage.url")
    folder = mirror.pull()
    old = checkpoint(folder, 2)
    mirror.push()
    for path in old.iterdir():
        path.unlink()
    old.rmdir()
    checkpoint(folder, 4)
    done: list[str] = []
    for name in ("put_file", "rm_file"):
        call = getattr(mirror._files, name)

        def noted(*args: str, call: Any = call, name: str = name) -> None:
            done.append(f"{name} {args[-1].split('checkpoint-')[1]}")
            call(*args)

        monkeypatch.setattr(mirror._files, name, noted)
    mirror.push()
    assert done == [
        "put_file 4/weights.safetensors",
        "put_file 4/complete.json",
        "rm_file 2/complete.json",
        "rm_file 2/weights.safetensors",
    ]
    monkeypatch.undo()
    elsewhere = Mirror("memory://bucket/runs/three", path=tmp_path / "elsewhere")
    elsewhere.pull()
    assert [path.name for path in (tmp_path / "elsewhere").rglob("checkpoint-*")] == ["checkpoint-4"]
    elsewhere.push()
    monkeypatch.setattr(elsewhere._files, "put_file", None)
    elsewhere.push()
    monkeypatch.undo()
    with pytest.raises(DataError, match="nosuch") as refused:
        Mirror("nosuch://bucket/x", path=tmp_path / "work", field="storage.url")
    assert refused.value.field == "storage.url"


def store(folder: Path, url: str) -> RunStore:
    document = {
        "run": {"uid": "u-1", "name": "n"}, "algorithm": "grpo", "backbone": {"ref": "x"}, "pool": "pool.yaml",
        "data": {"location": "x", "sha256": ""}, "storage": {"directory": str(folder), "url": url},
    }  # fmt: skip
    return RunStore(DriverConfig.model_validate(document))


def rows(file: Path) -> list[tuple[int]]:
    with contextlib.closing(sqlite3.connect(file)) as database:
        return database.execute("SELECT n FROM t ORDER BY n").fetchall()


def test_a_driver_goes_on_where_another_nodes_driver_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    here = store(tmp_path / "one", "memory://bucket/runs/")
    here.fetch()
    path = checkpoint(tmp_path / "one", 2)
    assert here.uri(path) == "memory://bucket/runs/u-1/run/checkpoints/grpo/checkpoint-2"
    database = sqlite3.connect(tmp_path / "one" / "run" / "replies.sqlite")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE t (n INTEGER)")
    database.execute("INSERT INTO t VALUES (7)")
    database.commit()
    here.safe()
    there = store(tmp_path / "two", "memory://bucket/runs")
    there.fetch()
    assert rows(tmp_path / "two" / "run" / "replies.sqlite") == [(7,)], "copied while the first one has it open"
    database.close()
    assert (tmp_path / "two" / "run" / "checkpoints" / "grpo" / "checkpoint-2" / "complete.json").is_file()
    (tmp_path / "two" / "mine").write_text("local")
    there.fetch()
    assert (tmp_path / "two" / "mine").is_file()

    def gone(*_: str) -> None:
        raise OSError("no store")

    monkeypatch.setattr(fsspec.filesystem("memory"), "put_file", gone)
    there.safe()
    with pytest.raises(UnavailableError, match="no store"):
        there.keep()


def test_without_a_url_everything_stays_in_the_directory(tmp_path: Path) -> None:
    plain = store(tmp_path / "work", "")
    plain.fetch()
    plain.keep()
    assert plain.uri(tmp_path / "work" / "run") == (tmp_path / "work" / "run").as_uri()
    assert not (tmp_path / "work").exists()
