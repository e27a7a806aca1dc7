from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kubefugu_trainer.features.extract import _batches
from kubefugu_trainer.features.store import FeatureStore, text_key

KEYS = [text_key(f"text {i}") for i in range(6)]
ROWS = np.arange(24, dtype=np.float32).reshape(6, 4)


def store(root: Path, **changes: object) -> FeatureStore:
    identity = {"backbone_revision": "r", "dtype": "float32", "fmt": "raw", "max_tokens": 64, "width": 4} | changes
    return FeatureStore(root, **identity)  # type: ignore[arg-type]


def test_rows_come_back_by_text_in_any_order(tmp_path: Path) -> None:
    with store(tmp_path) as cache:
        cache.add(KEYS[:4], ROWS[:4])
        cache.add(KEYS[4:], ROWS[4:])
    with store(tmp_path) as cache:
        assert len(cache) == 6
        np.testing.assert_array_equal(cache.get([KEYS[5], KEYS[0], KEYS[5]]), ROWS[[5, 0, 5]])
        assert cache.get([]).shape == (0, 4)
        with pytest.raises(KeyError):
            cache.get([text_key("another")])


@pytest.mark.parametrize("changes", [{"fmt": "chat"}, {"backbone_revision": "s"}, {"max_tokens": 65}, {"variant": "x"}])
def test_another_identity_is_another_cache(tmp_path: Path, changes: dict[str, object]) -> None:
    with store(tmp_path) as cache:
        cache.add(KEYS, ROWS)
    with store(tmp_path, **changes) as cache:
        assert len(cache) == 0


@pytest.mark.parametrize(("rows_bytes", "keys_bytes", "left"), [(0, -1, 5), (-3, 0, 5), (-16 * 3 - 1, -1, 2), (7, 0, 6)])
def test_what_a_kill_left_half_written_is_cut_off(tmp_path: Path, rows_bytes: int, keys_bytes: int, left: int) -> None:
    with store(tmp_path) as cache:
        cache.add(KEYS, ROWS)
        folder = cache.folder
    for name, change in (("rows.f32", rows_bytes), ("keys.bin", keys_bytes)):
        raw = (folder / name).read_bytes()
        (folder / name).write_bytes(raw[: len(raw) + change] if change <= 0 else raw + b"\0" * change)
    with store(tmp_path) as cache:
        assert len(cache) == left
        np.testing.assert_array_equal(cache.get(KEYS[:left]), ROWS[:left])
        cache.add(KEYS[left:], ROWS[left:])
    with store(tmp_path) as cache:
        np.testing.assert_array_equal(cache.get(KEYS), ROWS)


def test_wrong_shapes_are_refused(tmp_path: Path) -> None:
    with store(tmp_path) as cache, pytest.raises(ValueError, match="rows must be float32"):
        cache.add(KEYS, ROWS[:2])


def test_batches_begin_with_one_text() -> None:
    assert _batches(0) == []
    assert _batches(1) == [(0, 1)]
    assert _batches(66) == [(0, 1), (1, 65), (65, 66)]
