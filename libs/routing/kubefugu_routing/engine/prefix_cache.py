"""Keys and values of earlier transcripts, so that a later turn pays only for its new tokens.

An entry belongs to one lane (variant key) and one token sequence; the longest common prefix with any entry is reused, token by
token equality decides, never a hash alone. Least recently used entries leave when the byte bound is reached; an entry that a
longer one of the same lane contains is dropped at once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kubefugu_routing.engine.attention import KeyValue

BLOCK_TOKENS = 16
"""Prefixes are indexed in blocks of this many tokens; a shorter common prefix is not worth reusing."""

_CANDIDATES = 8
"""Entries compared at the longest common block boundary; they differ by less than a block."""

_Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored sequence."""

    lane: str
    tokens: tuple[int, ...]
    pairs: list[KeyValue]
    """One pair a layer of the lane."""
    blocks: tuple[_Key, ...]
    size_bytes: int


def _blocks(lane: str, tokens: Sequence[int]) -> list[_Key]:
    """A running hash at each block boundary."""
    keys, state = [], hash(lane)
    for start in range(0, len(tokens) - BLOCK_TOKENS + 1, BLOCK_TOKENS):
        state = hash((state, tuple(tokens[start : start + BLOCK_TOKENS])))
        keys.append((lane, state))
    return keys


class PrefixCache:
    """Bounded by bytes; 0 switches it off."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.size_bytes = 0
        self._entries: OrderedDict[int, Entry] = OrderedDict()
        self._index: dict[_Key, list[int]] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._entries)

    def match(self, lane: str, tokens: Sequence[int], depth: int) -> tuple[int, Entry | None]:
        """The longest common prefix with an entry of the lane that holds at least `depth` layers, in tokens, and that entry."""
        best, found = 0, None
        if not self._entries:
            return best, found
        for key in reversed(_blocks(lane, tokens)):
            for number in self._index.get(key, [])[-_CANDIDATES:]:
                entry = self._entries[number]
                if len(entry.pairs) < depth:
                    continue
                common = _common(entry.tokens, tokens)
                if common > best:
                    best, found = common, entry
                    self._entries.move_to_end(number)
            if found is not None:
                break
        return best, found

    def put(self, lane: str, tokens: tuple[int, ...], pairs: list[KeyValue]) -> None:
        """Store a sequence's keys and values; the tensors are copied out of larger storage."""
        blocks = tuple(_blocks(lane, tokens))
        if not blocks or self.max_bytes <= 0:
            return
        size = sum(k.numel() * k.element_size() + v.numel() * v.element_size() for k, v in pairs)
        if size > self.max_bytes:
            return
        if any(self._covers(number, tokens, len(pairs)) for number in self._index.get(blocks[-1], ())):
            return
        for number in self._contained(blocks, tokens, len(pairs)):
            self._drop(number)
        own = [(_own(k), _own(v)) for k, v in pairs]
        number, self._next = self._next, self._next + 1
        self._entries[number] = Entry(lane, tokens, own, blocks, size)
        for key in blocks:
            self._index.setdefault(key, []).append(number)
        self.size_bytes += size
        while self.size_bytes > self.max_bytes:
            self._drop(next(iter(self._entries)))

    def forget(self, lane: str) -> None:
        """Drop all entries of a lane."""
        for number in [number for number, entry in self._entries.items() if entry.lane == lane]:
            self._drop(number)

    def clear(self) -> None:
        """Drop everything."""
        self._entries.clear()
        self._index.clear()
        self.size_bytes = 0

    def _covers(self, number: int, tokens: tuple[int, ...], depth: int) -> bool:
        entry = self._entries[number]
        return len(entry.pairs) >= depth and entry.tokens[: len(tokens)] == tokens

    def _contained(self, blocks: tuple[_Key, ...], tokens: tuple[int, ...], depth: int) -> list[int]:
        numbers = {number for key in blocks for number in self._index.get(key, ())}
        entries = ((number, self._entries[number]) for number in numbers)
        return [n for n, entry in entries if len(entry.pairs) <= depth and tokens[: len(entry.tokens)] == entry.tokens]

    def _drop(self, number: int) -> None:
        entry = self._entries.pop(number)
        self.size_bytes -= entry.size_bytes
        for key in entry.blocks:
            numbers = self._index[key]
            numbers.remove(number)
            if not numbers:
                del self._index[key]


def _own(tensor: Tensor) -> Tensor:
    """A contiguous tensor that holds no larger storage alive."""
    if tensor.is_contiguous() and tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size():
        return tensor
    return tensor.clone(memory_format=torch.contiguous_format)


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the longest common prefix."""
    limit = min(len(a), len(b))
    for i in range(limit):
        if a[i] != b[i]:
            return i
    return limit
