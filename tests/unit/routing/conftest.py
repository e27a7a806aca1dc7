from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

from support.backbones import Tiny, make_tiny


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBEFUGU_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Tiny]:
    """Make a tiny model once per kind and tying."""

    @lru_cache
    def make(kind: str, *, tied: bool, with_tokenizer: bool = False) -> Tiny:
        return make_tiny(tmp_path_factory.mktemp(kind), kind, tied=tied, with_tokenizer=with_tokenizer)

    return make
