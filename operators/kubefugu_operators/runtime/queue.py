"""A keyed work queue: one worker a key at a time; events that arrive meanwhile are folded into one more pass.

What a user has just changed goes before what is looked at again (events of children, resyncs, retries), so that an edit does
not wait behind a thousand objects; every fourth key is one that waits without haste, so that these move on, too. Otherwise the
same contract as client-go's workqueue (https://pkg.go.dev/k8s.io/client-go/util/workqueue): deduplication, delayed adds,
exponential backoff a key. One slow or failing key delays no other as long as a worker is free.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

from kubefugu_operators.cluster.objects import Ref

BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 300.0
HASTY_IN_A_ROW = 3


class WorkQueue:
    """Keys to look at. Belongs to one event loop; `clock` gives its monotonic seconds."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._hasty: dict[Ref, None] = {}
        self._ready: dict[Ref, None] = {}
        self._hasty_in_a_row = 0
        self._active: set[Ref] = set()
        self._again: dict[Ref, bool] = {}
        self._delayed: list[tuple[float, int, Ref]] = []
        self._due: dict[Ref, float] = {}
        self._failures: dict[Ref, int] = {}
        self._numbers = itertools.count()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """Keys that are ready and not being worked on."""
        return len(self._hasty) + len(self._ready)

    @property
    def delayed(self) -> int:
        """Keys that wait for their time."""
        return len(self._due)

    def add(self, key: Ref, *, hasty: bool = False) -> None:
        """Look at the key soon: now, or once more after the pass that is going on. `hasty`: somebody waits for it."""
        self._due.pop(key, None)
        if key in self._active:
            self._again[key] = hasty or self._again.get(key, False)
        elif key not in self._hasty:
            if hasty:
                self._ready.pop(key, None)
            (self._hasty if hasty else self._ready)[key] = None
            self._changed.set()

    def add_after(self, key: Ref, delay_s: float) -> None:
        """Look at the key after a while, unless an earlier time is set already."""
        due = self._clock() + delay_s
        if key in self._hasty or key in self._ready or self._due.get(key, due + 1) <= due:
            return
        self._due[key] = due
        heapq.heappush(self._delayed, (due, next(self._numbers), key))
        self._changed.set()

    async def get(self) -> Ref:
        """The next key; call `done` with it afterwards."""
        while True:
            self._release_due()
            if self._hasty or self._ready:
                key = self._take()
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
            self.add(key, hasty=self._again.pop(key))

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

    def _take(self) -> Ref:
        """The oldest key, hasty ones first but for every fourth."""
        hasty = bool(self._hasty) and not (self._ready and self._hasty_in_a_row >= HASTY_IN_A_ROW)
        self._hasty_in_a_row = self._hasty_in_a_row + 1 if hasty else 0
        keys = self._hasty if hasty else self._ready
        key = next(iter(keys))
        del keys[key]
        return key

    def _release_due(self) -> None:
        now = self._clock()
        while self._delayed and self._delayed[0][0] <= now:
            due, _, key = heapq.heappop(self._delayed)
            if self._due.get(key) == due:
                self.add(key)
