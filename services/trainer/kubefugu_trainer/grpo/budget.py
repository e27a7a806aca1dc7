"""What a run may spend in all its attempts: training time and US dollars of worker calls, kept in the run directory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson

from kubefugu_trainer.grpo.items import Item
from kubefugu_trainer.grpo.rollouts import Rollout
from kubefugu_trainer.runs.files import write_json


class Budget:
    """Counts from `begin` to `end`; what earlier attempts spent is read from the file. One thread uses it."""

    def __init__(
        self, file: Path, *, max_seconds: float = 0.0, max_cost_usd: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`file`: where it is kept. 0: no limit."""
        self._file = file
        self._max_seconds = max_seconds
        self._max_cost_usd = max_cost_usd
        self._clock = clock
        self._since = clock()
        told = orjson.loads(file.read_bytes()) if file.is_file() else {}
        self._before_s = float(told.get("seconds", 0.0))
        self.cost_usd = float(told.get("cost_usd", 0.0))
        """Spent on worker calls, those of measuring included."""
        self._ended: str = str(told.get("ended", ""))

    @property
    def seconds(self) -> float:
        """Training time of all attempts."""
        return self._before_s + (0.0 if self._ended else self._clock() - self._since)

    @property
    def over(self) -> str:
        """What is used up, time or cost, as a word for people; empty while there is something left."""
        if self._ended:
            return "" if self._ended == "done" else self._ended
        if 0 < self._max_seconds <= self.seconds:
            return "time"
        return "money" if 0 < self._max_cost_usd <= self.cost_usd else ""

    def paid(self, items: Sequence[Item], texts: Sequence[str], rollouts: Sequence[Rollout]) -> None:
        """Take in what plans cost; equal plans of an item ran once."""
        once = {(item.number, text): told.spent_usd for item, text, told in zip(items, texts, rollouts, strict=True)}
        self.cost_usd += sum(once.values())
        self.save()

    def end(self) -> None:
        """Training is over, by itself or because something was used up; measuring has no limit."""
        if not self._ended:
            seconds, why = self.seconds, self.over
            self._before_s, self._ended = seconds, why or "done"
            self.save()

    def save(self) -> None:
        """Write it down."""
        write_json(self._file, {"seconds": self.seconds, "cost_usd": self.cost_usd, "ended": self._ended})
