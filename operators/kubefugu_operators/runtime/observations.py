"""Facts that are asked for over the network beside the reconciliation, so that a slow peer delays nobody.

Each owner (a pool, run or policy) has named targets; every target is asked at an interval by one task an owner, within a bound
on calls in flight. A changed answer puts the owner into the work queue; reconciliation reads the last answers without waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Generic, TypeVar

import structlog

from kubefugu_operators.cluster.objects import Ref

T = TypeVar("T", bound=Hashable)
R = TypeVar("R")
_log = structlog.get_logger()


class Observations(Generic[T, R]):
    """Last answers of many targets. `ask` never raises: what went wrong is part of its answer."""

    def __init__(
        self,
        ask: Callable[[T], Awaitable[R]],
        *,
        interval_s: float,
        on_change: Callable[[Ref], None],
        changed: Callable[[R | None, R], bool],
        follow: Callable[[R | None, R], R] = lambda _, now: now,
        max_in_flight: int = 32,
    ) -> None:
        """`follow` makes of the last answer and the new one what is kept."""
        self._ask = ask
        self._interval_s = interval_s
        self._on_change = on_change
        self._changed = changed
        self._follow = follow
        self._slots = asyncio.Semaphore(max_in_flight)
        self._targets: dict[Ref, dict[str, T]] = {}
        self._answers: dict[Ref, dict[str, R]] = {}
        self._tasks: dict[Ref, asyncio.Task[None]] = {}
        self._wake: dict[Ref, asyncio.Event] = {}

    def watch(self, owner: Ref, targets: Mapping[str, T]) -> None:
        """Set the owner's targets. New or changed ones are asked at once, missing ones are forgotten; none stops the asking."""
        if not targets:
            self.forget(owner)
            return
        before = self._targets.get(owner, {})
        if before == dict(targets):
            return
        self._targets[owner] = dict(targets)
        kept = {name: answer for name, answer in self._answers.get(owner, {}).items() if before.get(name) == targets.get(name)}
        self._answers[owner] = kept
        if owner in self._tasks:
            self._wake[owner].set()
        else:
            self._wake[owner] = asyncio.Event()
            self._tasks[owner] = asyncio.create_task(self._loop(owner), name=f"observe {owner}")

    def answers(self, owner: Ref) -> Mapping[str, R]:
        """Last answers by target name; targets that have not answered yet are missing."""
        return dict(self._answers.get(owner, {}))

    def unanswered(self, owner: Ref) -> bool:
        """True where the owner's targets have been asked for the first time and none has answered yet."""
        return bool(self._targets.get(owner)) and not self._answers.get(owner)

    def forget(self, owner: Ref) -> None:
        """Stop asking."""
        self._targets.pop(owner, None)
        self._answers.pop(owner, None)
        self._wake.pop(owner, None)
        task = self._tasks.pop(owner, None)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """End every task."""
        tasks = list(self._tasks.values())
        for owner in list(self._tasks):
            self.forget(owner)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _loop(self, owner: Ref) -> None:
        wake = self._wake[owner]
        while True:
            wake.clear()
            targets = dict(self._targets[owner])
            async with asyncio.TaskGroup() as group:
                asked = {name: group.create_task(self._one(target)) for name, target in targets.items()}
            self._store(owner, targets, {name: task.result() for name, task in asked.items()})
            try:
                async with asyncio.timeout(self._interval_s):
                    await wake.wait()
            except TimeoutError:
                continue

    def _store(self, owner: Ref, targets: Mapping[str, T], answers: Mapping[str, R]) -> None:
        """Keep answers to targets that are still wanted as they were asked."""
        current = self._targets.get(owner, {})
        stored = self._answers.setdefault(owner, {})
        news = False
        for name, answer in answers.items():
            if current.get(name) != targets[name]:
                continue
            before = stored.get(name)
            stored[name] = self._follow(before, answer)
            news = self._changed(before, stored[name]) or news
        if news:
            self._on_change(owner)

    async def _one(self, target: T) -> R:
        async with self._slots:
            return await self._ask(target)
