from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubefugu_core.errors import ConflictError, InvalidRequestError, StaleGenerationError
from kubefugu_core.policy_sets import Canary, DeclaredSet, Source, documents, share_of, succeeds
from kubefugu_router.domain.schedule import plan
from kubefugu_router.store import KEPT_VERSIONS, PolicyStore

SHA = "a" * 64


@dataclass(eq=False)
class Request:
    remaining: int
    arrival: int


@given(st.lists(st.integers(1, 5000), max_size=40), st.integers(1, 4096))
def test_a_step_keeps_its_budget_and_wastes_none(lengths: list[int], budget: int) -> None:
    waiting = [Request(n, i) for i, n in enumerate(lengths)]
    parts = plan(waiting, budget)
    assert sum(count for _, count in parts) == min(budget, sum(lengths))
    assert all(0 < count <= request.remaining for request, count in parts)
    assert len({id(request) for request, _ in parts}) == len(parts)


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=40), st.integers(4, 4096))
def test_the_oldest_always_advances(lengths: list[int], budget: int) -> None:
    waiting = [Request(n, i) for i, n in enumerate(lengths)]
    counts = {id(request): count for request, count in plan(waiting, budget)}
    assert counts[id(waiting[0])] >= min(lengths[0], budget // 4)


def test_thirty_short_ones_pass_a_long_one() -> None:
    waiting = [Request(4096, 0), *(Request(12, i) for i in range(1, 31))]
    counts = {request.arrival: count for request, count in plan(waiting, 512)}
    assert all(counts[i] == 12 for i in range(1, 31))
    assert counts[0] == 512 - 30 * 12


def test_everyone_is_served_in_the_end() -> None:
    waiting = [Request(3000, 0), Request(10, 1), Request(700, 2)]
    steps = 0
    while waiting:
        for request, count in plan(waiting, 256):
            request.remaining -= count
        waiting = [request for request in waiting if request.remaining]
        steps += 1
    assert steps == -(-3710 // 256)


def declared(generation: int = 1, **changes: object) -> DeclaredSet:
    return DeclaredSet(generation=generation, active="v1", **changes)


def test_generations_only_grow() -> None:
    assert succeeds(declared(1), None)
    assert succeeds(declared(2), declared(1))
    assert not succeeds(declared(2), declared(2))
    with pytest.raises(StaleGenerationError):
        succeeds(declared(1), declared(2))
    with pytest.raises(ConflictError):
        succeeds(declared(2, shadow=("v2",)), declared(2))


def test_shares_are_even_and_nested() -> None:
    keys = [f"key-{i}" for i in range(5000)]
    for percent in (0.0, 1.0, 10.0, 50.0, 100.0):
        taken = sum(share_of(key) < percent for key in keys)
        assert abs(taken / 50 - percent) < 2.5
    narrow, wide = declared(canary=Canary("v2", 10)), declared(canary=Canary("v2", 30))
    assert all(wide.deciding(key)[1] for key in keys if narrow.deciding(key)[1])
    assert not any(declared(canary=Canary("v2", 0)).deciding(key)[1] for key in keys)
    assert all(declared(canary=Canary("v2", 100)).deciding(key) == ("v2", True) for key in keys)


def test_documents_round_trip() -> None:
    full = declared(
        7,
        canary=Canary("v2", 12.5),
        shadow=("v3", "v4"),
        sources={"v1": Source("file:///x", SHA), "v2": Source("https://host/y", "b" * 64)},
    )
    assert documents.from_json(documents.to_json(full), source="test") == full
    assert documents.from_proto(documents.to_proto(full)) == full
    assert documents.from_json('{"generation": "3", "active": "v1"}', source="test") == declared(3)
    for text in ("", "[]", '{"active": 5}', '{"generation": 1, "active": "v1", "unknown": 1}', '{"active": "v1"}'):
        with pytest.raises(InvalidRequestError):
            documents.from_json(text, source="test")


def test_the_store_keeps_the_newest_versions_and_their_artifacts(tmp_path: Path) -> None:
    store = PolicyStore(tmp_path)
    known = {f"v{i}": f"{i:064x}" for i in range(KEPT_VERSIONS + 10)}
    for sha256 in [*known.values(), "f" * 64]:
        store.artifact(sha256).write_bytes(b"x")
    kept = store.save(DeclaredSet(generation=1, active="v0"), known)
    assert "v0" in kept
    assert "v1" not in kept
    assert list(kept)[-1] == f"v{KEPT_VERSIONS + 9}"
    assert len(kept) == KEPT_VERSIONS + 1
    saved = store.read()
    assert (saved.versions, saved.declared) == (kept, DeclaredSet(generation=1, active="v0"))
    assert {path.stem for path in (tmp_path / "artifacts").iterdir()} == set(kept.values())


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"declared": {}, "versions": []}', '{"declared": {}}'])
def test_a_broken_store_is_told_and_not_guessed(tmp_path: Path, content: str) -> None:
    (tmp_path / "policies.json").write_text(content)
    with pytest.raises(InvalidRequestError):
        PolicyStore(tmp_path).read()
