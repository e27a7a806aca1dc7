"""The ready pools: valid, and their processes exist."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.paths import REPO

from kubefugu_core.models import CATALOG
from kubefugu_core.pool import Role, load_pool
from kubefugu_experts.engines.registry import ENGINES

POOLS = sorted((REPO / "pools").glob("*.yaml"))


@pytest.mark.parametrize("path", POOLS, ids=lambda path: path.stem)
def test_pool_is_valid_and_explained(path: Path) -> None:
    pool = load_pool(path)
    assert path.read_text(encoding="utf-8").startswith("# ")
    for worker in pool.spec.workers:
        assert worker.description
        if worker.process and worker.process.kind == "expert":
            assert worker.process.model in ENGINES
            assert worker.model == worker.process.model
            assert worker.specialist
            assert worker.capabilities == ()
        elif worker.process:
            assert worker.process.model in CATALOG
            assert worker.context_tokens <= worker.process.context_tokens


def test_the_ready_pools_are_there() -> None:
    assert {path.stem for path in POOLS} >= {
        "default",
        "default-with-coders",
        "openai-compatible",
        "ollama",
        "vllm",
        "llamacpp",
    }


def test_the_default_pool_has_every_expert_and_one_fallback() -> None:
    workers = load_pool(REPO / "pools/default.yaml").spec.workers
    assert [worker.name for worker in workers] == ["smollm2", *ENGINES]
    assert [worker.name for worker in workers if worker.fallback] == ["smollm2"]
    assert Role.SOLVER in workers[0].roles


def test_no_pool_holds_a_key() -> None:
    for path in POOLS:
        assert "sk-" not in path.read_text(encoding="utf-8")
