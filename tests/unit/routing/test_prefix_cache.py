from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kubefugu_routing.engine.prefix_cache import BLOCK_TOKENS, PrefixCache

Pairs = list[tuple[torch.Tensor, torch.Tensor]]


def pairs(tokens: tuple[int, ...], layers: int = 2) -> Pairs:
    """Keys that spell the tokens, so that a wrong reuse shows."""
    spelled = torch.tensor(tokens, dtype=torch.float32).reshape(1, -1, 1)
    return [(spelled + layer, -spelled) for layer in range(layers)]


def run(n: int, start: int = 0) -> tuple[int, ...]:
    return tuple(range(start, start + n))


def test_longest_common_prefix_is_found_to_the_token() -> None:
    cache = PrefixCache(1 << 20)
    cache.put("", run(50), pairs(run(50)))
    assert cache.match("", (*run(41), 999, 998), 2)[0] == 41
    assert cache.match("", run(50), 2)[0] == 50
    assert cache.match("", run(70), 2)[0] == 50
    assert cache.match("", (7, *run(49)), 2) == (0, None)
    assert cache.match("", run(50, 1), 2)[0] == 0


def test_lanes_and_depths_are_kept_apart() -> None:
    cache = PrefixCache(1 << 20)
    cache.put("v", run(40), pairs(run(40)))
    assert cache.match("", run(40), 1)[0] == 0
    assert cache.match("v", run(40), 2)[0] == 40
    assert cache.match("v", run(40), 3)[0] == 0, "an entry with fewer layers than needed is of no use"


def test_a_longer_turn_replaces_the_shorter_one_that_it_contains() -> None:
    cache = PrefixCache(1 << 20)
    cache.put("", run(40), pairs(run(40)))
    cache.put("", run(60), pairs(run(60)))
    assert len(cache) == 1
    cache.put("", run(50), pairs(run(50)))
    assert len(cache) == 1, "what an entry already contains is not stored again"
    assert cache.size_bytes == 60 * 4 * 4


def test_bytes_are_bounded_and_the_least_recently_used_leaves() -> None:
    size = 32 * 4 * 4
    cache = PrefixCache(3 * size)
    for start in (0, 1000, 2000):
        cache.put("", run(32, start), pairs(run(32, start)))
    assert cache.match("", run(32), 2)[0] == 32  # used: 1000 is the oldest now
    cache.put("", run(32, 3000), pairs(run(32, 3000)))
    assert cache.match("", run(32, 1000), 2)[0] == 0
    assert cache.match("", run(32), 2)[0] == 32
    assert cache.size_bytes == 3 * size
    cache.put("", run(200, 5000), pairs(run(200, 5000)))
    assert len(cache) == 3, "what is larger than the bound is not stored"
    cache.forget("")
    assert (len(cache), cache.size_bytes) == (0, 0)


def test_a_stored_view_keeps_no_larger_tensor_alive() -> None:
    cache = PrefixCache(1 << 20)
    large = torch.zeros(1, 10_000, 1)
    cache.put("", run(32), [(large[:, 100:132], large[:, :32])])
    _, entry = cache.match("", run(32), 1)
    assert entry is not None
    assert all(t.untyped_storage().nbytes() == 32 * 4 for pair in entry.pairs for t in pair)


def test_zero_bytes_switch_it_off() -> None:
    cache = PrefixCache(0)
    cache.put("", run(64), pairs(run(64)))
    assert len(cache) == 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(0, 1), max_size=6), st.integers(0, 40)), min_size=1, max_size=30)
)
def test_reuse_is_always_token_for_token(script: list[tuple[int, list[int], int]]) -> None:
    """Whatever is put in, in whatever order, a match spells exactly the asked-for prefix and the books balance."""
    cache = PrefixCache(2_000)
    for lane, blocks, extra in script:
        tokens = tuple(np.concatenate([np.full(BLOCK_TOKENS, b) for b in blocks] or [np.zeros(0)]).astype(int).tolist())
        tokens += run(extra, 100)
        name = "" if lane == 0 else f"v{lane}"
        length, entry = cache.match(name, tokens, 2)
        if entry is not None:
            assert entry.lane == name
            assert entry.pairs[0][0][0, :length, 0].tolist() == list(tokens[:length])
        cache.put(name, tokens, pairs(tokens))
        assert cache.size_bytes <= 2_000
        entries = list(cache._entries.values())
        assert cache.size_bytes == sum(e.size_bytes for e in entries)
        assert {n for numbers in cache._index.values() for n in numbers} == set(cache._entries)
