"""Which pool file and which trained head are meant."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from support.pools import pool_of, worker

from kubefugu_cli import pools
from kubefugu_core.errors import DataError
from kubefugu_core.models import CATALOG


def write_head(path: Path, *rows: tuple[str, str]) -> Path:
    """A safetensors file with the metadata of a policy artifact and no tensors."""
    document = json.dumps({"workers": [{"name": name, "model": model} for name, model in rows]})
    header = json.dumps({"__metadata__": {"format": "kubefugu-policy/1", "document": document}}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    return path


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "ready"
    folder.mkdir()
    for name in ("default", "ollama"):
        (folder / f"{name}.yaml").write_text("{}")
    monkeypatch.setattr(pools, "ready_pools", lambda: folder)
    return folder


def test_a_pool_is_named_by_path_or_by_the_name_of_a_ready_one(
    ready: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert pools.find_pool_file(None) == ready / "default.yaml"
    assert pools.find_pool_file("ollama") == ready / "ollama.yaml"
    assert pools.find_pool_file("mine.yaml") == mine
    with pytest.raises(DataError, match=r"no pool file nowhere.yaml. Ready pools: default, ollama."):
        pools.find_pool_file("nowhere.yaml")


def test_the_head_beside_the_pool_file_wins(ready: Path, tmp_path: Path) -> None:
    own = write_head(tmp_path / "heads" / "mine.safetensors", ("other", "thing"))
    write_head(ready / "heads" / "default.safetensors", ("a", "a-model"))
    assert pools.find_head(tmp_path / "mine.yaml", pool_of(worker("a", "http://x/v1"))) == own


@pytest.mark.parametrize(
    ("rows", "fits"),
    [
        ([("a", "a-model"), ("c", "c-model")], True),
        ([("c", "c-model")], False),
        ([("a", "a-model"), ("b", "another model")], False),
    ],
)
def test_a_pool_borrows_the_default_head_only_where_the_router_would_take_it(
    ready: Path, tmp_path: Path, rows: list[tuple[str, str]], fits: bool
) -> None:
    default = write_head(ready / "heads" / "default.safetensors", *rows)
    pool = pool_of(worker("a", "http://x/v1"), worker("b", "http://x/v1"))
    assert pools.find_head(tmp_path / "mine.yaml", pool) == (default if fits else None)


def test_a_pool_without_any_head_has_none(ready: Path, tmp_path: Path) -> None:
    assert pools.find_head(tmp_path / "mine.yaml", pool_of(worker("a", "http://x/v1"))) is None


@pytest.mark.parametrize("content", [b"", b"not a tensor file at all", struct.pack("<Q", 2) + b"{}"])
def test_a_file_that_is_no_head_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "head.safetensors"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"head.safetensors is no"):
        pools.head_rows(path)


SMOLLM2 = CATALOG["smollm2-135m-instruct"].files[0].sha256


def write_conductor(path: Path, *rows: tuple[str, str], revision: str = SMOLLM2) -> Path:
    """A safetensors file with the metadata of a trained Conductor and no tensors."""
    document = json.dumps({"backbone": {"id": "any", "revision": revision}, "training": {"workers": rows}})
    header = json.dumps({"__metadata__": {"format": "kubefugu-conductor/1", "document": document}}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    return path


def test_a_trained_conductor_is_borrowed_by_pools_that_have_its_workers_and_name_no_planner(
    ready: Path, tmp_path: Path
) -> None:
    pool = pool_of(worker("a", "http://x/v1"), worker("b", "http://x/v1"))
    assert pools.find_conductor(tmp_path / "mine.yaml", pool) is None
    default = write_conductor(ready / "heads" / "default.conductor.safetensors", ("a", "a-model"))
    assert pools.find_conductor(tmp_path / "mine.yaml", pool) == (default, "smollm2-135m-instruct")
    own_planner = pool_of(worker("a", "http://x/v1"), planner="a")
    assert pools.find_conductor(tmp_path / "mine.yaml", own_planner) is None
    write_conductor(default, ("a", "a-model"), ("c", "c-model"))
    assert pools.find_conductor(tmp_path / "mine.yaml", pool) is None
    own = write_conductor(tmp_path / "heads" / "mine.conductor.safetensors", ("b", "b-model"))
    assert pools.find_conductor(tmp_path / "mine.yaml", pool) == (own, "smollm2-135m-instruct")
    write_conductor(own, ("b", "b-model"), revision="0" * 64)
    assert pools.find_conductor(tmp_path / "mine.yaml", pool) is None
    write_head(own, ("b", "b-model"))
    with pytest.raises(DataError, match="no trained Conductor"):
        pools.find_conductor(tmp_path / "mine.yaml", pool)
