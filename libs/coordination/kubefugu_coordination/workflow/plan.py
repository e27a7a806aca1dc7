"""A workflow as data: steps, who does them and which earlier steps each one sees (Conductor, arXiv 2512.04388, section 3).

A `Plan` that exists is valid: its constructor refuses what could not be executed, so the scheduler has no cases for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SELF_WORKER = "@conductor"
"""The Conductor as a worker of its own plan. Not a possible worker name, so it can't collide with a pool's."""

JOIN_WORKER = "@join"
"""Puts the results that a step sees together, word for word (`join.py`). No model does it, so it costs nothing."""

DEFAULT_MAX_STEPS = 5


@dataclass(frozen=True, slots=True)
class Step:
    """One step: `worker` does `subtask`, seeing subtask and output of the strictly earlier steps in `access`."""

    worker: str
    subtask: str
    access: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in an order in which each sees earlier ones only; the last one is the answer.

    Raises ValueError where a step is empty, sees a later step, or is used by nothing.
    """

    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        if not self.steps:
            raise ValueError("a plan needs a step")
        for index, step in enumerate(self.steps):
            if not step.subtask.strip() or not step.worker:
                raise ValueError(f"step {index} needs a worker and a subtask")
            if list(step.access) != sorted(set(step.access)) or any(not 0 <= seen < index for seen in step.access):
                raise ValueError(f"step {index} may only see strictly earlier steps, each once")
        unused = set(range(len(self.steps))) - used_steps([step.access for step in self.steps])
        if unused:
            raise ValueError(f"steps {sorted(unused)} are used by nothing")

    @property
    def final(self) -> int:
        """Index of the step whose output is the answer."""
        return len(self.steps) - 1

    def depth(self) -> int:
        """Steps on the longest chain; 1 for a single step."""
        return round(self.critical_path(lambda _: 1.0))

    def critical_path(self, duration: Callable[[int], float]) -> float:
        """Length of the longest chain of dependent steps, in the unit of `duration(step)`: no schedule can be shorter."""
        ends: list[float] = []
        for index, step in enumerate(self.steps):
            ends.append(max((ends[seen] for seen in step.access), default=0.0) + duration(index))
        return max(ends)

    def to_json(self) -> dict[str, Any]:
        """`{"steps": [{"worker", "subtask", "access"}]}`."""
        return {"steps": [{"worker": s.worker, "subtask": s.subtask, "access": list(s.access)} for s in self.steps]}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Plan:
        """The inverse of `to_json`. Raises ValueError, KeyError or TypeError for anything else."""
        return cls(tuple(Step(str(s["worker"]), str(s["subtask"]), tuple(s["access"])) for s in document["steps"]))


def used_steps(access: Sequence[Sequence[int]]) -> set[int]:
    """Steps on some way to the last one, the last one included."""
    used = {len(access) - 1}
    for index in range(len(access) - 1, -1, -1):
        if index in used:
            used.update(access[index])
    return used


def render_lists(plan: Plan, worker_ids: Mapping[str, int]) -> str:
    """The canonical three-list text of a plan, as few-shot examples show it.

    Each list is one line, valid as Python literal and as JSON. Raises KeyError for a worker without id.
    """
    ids = [worker_ids[step.worker] for step in plan.steps]
    subtasks = [step.subtask for step in plan.steps]
    access = [list(step.access) for step in plan.steps]
    return "\n".join(
        f"{label}: {json.dumps(value, ensure_ascii=False)}"
        for label, value in (("model_id", ids), ("subtasks", subtasks), ("access_list", access))
    )
