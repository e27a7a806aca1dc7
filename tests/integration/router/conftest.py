from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from support.backbones import make_tiny
from support.live_router import Policies


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBEFUGU_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Qwen3 with a real tokenizer."""
    return make_tiny(tmp_path_factory.mktemp("backbone"), "qwen3", tied=True, with_tokenizer=True).directory


@pytest.fixture
def policies(tmp_path: Path, backbone: Path) -> Policies:
    return Policies(tmp_path / "policies", backbone)
