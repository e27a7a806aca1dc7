"""Which questions a step is about: contested ones, because a group whose plans are all right or all wrong teaches nothing.

Every question has a weight by how its last group came out: unknown and contested ones 1, settled ones little, so that they
come back now and then. The draw of a step depends on the seed, the step and what was seen before: all of it is in a checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import TrainerCallback

from kubefugu_trainer.runs.files import write_json

_SETTLED = 0.15
"""Weight of a question whose last group was all right or all wrong."""


class ContestedOrder:
    """Draws the questions of each step."""

    def __init__(
        self, count: int, *, group: int, seed: int, contested: bool, simple: Sequence[int] = (), simple_steps: int = 0
    ) -> None:
        """`simple`: questions that the first `simple_steps` steps are about, where there are any."""
        self._simple = np.zeros(count, dtype=bool)
        self._simple[list(simple)] = True
        self._simple_steps = simple_steps if len(simple) else 0
        self._group = group
        self._seed = seed
        self._contested = contested
        self._last: list[float] = [-1.0] * count
        """Mean reward of a question's last group; -1: never drawn."""
        self._flat: list[bool] = [False] * count

    def take(self, step: int, count: int) -> list[int]:
        """Numbers of `count` different questions for a step."""
        rng = np.random.default_rng([self._seed, 5, step])
        weights = np.array([_SETTLED if flat and self._contested else 1.0 for flat in self._flat])
        if step < self._simple_steps:
            weights[~self._simple] = 0.0
        size = min(count, int((weights > 0).sum()))
        numbers = [int(number) for number in rng.choice(len(weights), size=size, replace=False, p=weights / weights.sum())]
        return [numbers[place % size] for place in range(count)]

    def saw(self, numbers: Sequence[int], rewards: Sequence[float]) -> None:
        """Note the groups of a step; `rewards` in the order of `numbers`, each repeated for its group."""
        grouped = np.asarray(rewards, dtype=np.float64).reshape(len(numbers), self._group)
        for number, values in zip(numbers, grouped, strict=True):
            self._last[number] = float(values.mean())
            self._flat[number] = bool(np.ptp(values) < 1e-9)

    def report(self) -> dict[str, Any]:
        """How many questions were drawn at least once, and how their last groups came out."""
        seen = [number for number, value in enumerate(self._last) if value >= 0]
        flat = [number for number in seen if self._flat[number]]
        return {"questions": len(self._last), "seen": len(seen), "settled": len(flat), "contested": len(seen) - len(flat)}

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"last": self._last, "flat": self._flat}

    def restore(self, state: Mapping[str, Any]) -> None:
        """From a checkpoint."""
        self._last, self._flat = list(state["last"]), list(state["flat"])

    def saver(self, folder: Path) -> TrainerCallback:
        """A callback that puts the state into every checkpoint, before it is marked as complete."""
        return _Saver(self, folder)


class _Saver(TrainerCallback):
    def __init__(self, order: ContestedOrder, folder: Path) -> None:
        self._order = order
        self._folder = folder

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Beside the Trainer's own files."""
        write_json(self._folder / f"checkpoint-{state.global_step}" / "order.json", self._order.state())
        return control
