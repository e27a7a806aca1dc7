from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from support.backbones import Tiny, make_tiny
from support.live_router import Policies
from support.triton import Staged, triton


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBEFUGU_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A tiny random Qwen3 with a real tokenizer, and its naive reference."""
    return make_tiny(tmp_path_factory.mktemp("backbone"), "qwen3", tied=True, with_tokenizer=True)


@pytest.fixture(scope="session")
def backbone(tiny: Tiny) -> Path:
    """Its folder."""
    return tiny.directory


@pytest.fixture(scope="session")
def triton_server(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staged]:
    """A real Triton server over it, for tests that leave it alive."""
    folder = tmp_path_factory.mktemp("triton")
    environment = {
        "KUBEFUGU_HOME": str(folder / "home"),
        "KUBEFUGU_TRITON_BACKBONE": str(tiny.directory),
        "KUBEFUGU_TRITON_STAGE_DIR": str(folder / "stage"),
        "KUBEFUGU_TRITON_KV_CACHE_MIB": "64",
        "KUBEFUGU_TRITON_MAX_STEP_TOKENS": "128",
    }
    with triton(folder, environment) as running:
        yield Staged(running, folder / "stage")


@pytest.fixture
def policies(tmp_path: Path, backbone: Path) -> Policies:
    return Policies(tmp_path / "policies", backbone)
