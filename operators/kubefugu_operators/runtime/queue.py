"""A keyed work queue: one worker a key at a time; events that arrive meanwhile are folded into one more pass.

The same contract as client-go's workqueue (https://pkg.go.dev/k8s.io/client-go/util/workqueue): deduplication, delayed adds,
exponential backoff a key. One slow or failing key delays no other as long as a worker is free.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable

from kubefugu_operators.cluster.objects import Ref

BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 300.0


class WorkQueue:
    """Keys to look at. Belongs to one event loop; `clock` gives its monotonic seconds."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ready: deque[Ref] = deque()
        self._waiting: set[Ref] = set()
        self._active: set[Ref] = set()
        self._again: set[Ref] = set()
        self._delayed: list[tuple[float, int, Ref]] = []
        self._due: dict[Ref, float] = {}
        self._failures: dict[Ref, int] = {}
        self._numbers = itertools.count()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """Keys that are ready and not being worked on."""
        return len(self._ready)

    @property
    def delayed(self) -> int:
        """Keys that wait for their time."""
        return len(self._due)

    def add(self, key: Ref) -> None:
        """Look at the key soon: now, or once more after the pass that is going on."""
        self._due.pop(key, None)
        if key in self._active:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.append(key)
            self._changed.set()

    def add_after(self, key: Ref, delay_s: float) -> None:
        """Look at the key after a while, unless an earlier time is set already."""
        due = self._clock() + delay_s
        if key in self._waiting or self._due.get(key, due + 1) <= due:
            return
        self._due[key] = due
        heapq.heappush(self._delayed, (due, next(self._numbers), key))
        self._changed.set()

    async def get(self) -> Ref:
        """The next key; call `done` with it afterwards."""
        while True:
            self._release_due()
            if self._ready:
                key = self._ready.popleft()
                self._waiting.discard(key)
                self._active.add(key)
                return key
            self._changed.clear()
            timeout = max(0.0, self._delayed[0][0] - self._clock()) if self._delayed else None
            try:
                async with asyncio.timeout(timeout):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def done(self, key: Ref) -> None:
        """The pass is over."""
        self._active.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def failed(self, key: Ref) -> float:
        """Look again with exponential backoff; the delay in seconds."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        delay_s = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0**count)
        self.add_after(key, delay_s)
        return delay_s

    def forget(self, key: Ref) -> None:
        """The key is fine: its backoff starts anew at the next failure."""
        self._failures.pop(key, None)

    def _release_due(self) -> None:
        now = self._clock()
        while self._delayed and self._delayed[0][0] <= now:
            due, _, key = heapq.heappop(self._delayed)
            if self._due.get(key) == due:
                self.add(key)
