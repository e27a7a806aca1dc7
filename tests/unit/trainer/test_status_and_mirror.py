"""A run's status over HTTP, and its directory under an object prefix."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from kubefugu_core.errors import DataError, UnavailableError
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
