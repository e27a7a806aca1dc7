"""Plans for the format warm start: valid in form, random in substance.

A base model that cannot write the format earns nothing, so GRPO has nothing to learn from. These plans teach the form alone:
how a task of several sentences is cut up, who does what and who sees what is drawn at random. No solution is in them. Of such
tasks most become several steps: where that form is unsure, GRPO's first lesson is that one step is safe, and it never tries two
again. A task of one sentence is one step: with a second one that repeats it, a small planner cuts everything in two for good.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from kubefugu_coordination.workflow.plan import JOIN_WORKER, Plan, Step
from kubefugu_coordination.workflow.planner_prompt import plan_text
from kubefugu_trainer.grpo.items import Item

_SENTENCE = re.compile(r"(?<=[.?!])\s+")
_LEAD = re.compile(r"^(?:also|and|after that|first|second|then)\s*[:,]\s*", re.IGNORECASE)
_CLOSING = ("Give both results.", "Put the results together.", "Join the results.")
_MIN_WORDS = 3
"""Shorter pieces such as "Two questions." are no subtask."""


def pieces(task: str) -> list[str]:
    """Sentences of a task, without the words that link them."""
    found = [_LEAD.sub("", piece.strip()) for piece in _SENTENCE.split(task)]
    return [piece for piece in found if len(piece.split()) >= _MIN_WORDS] or [task.strip()]


def random_plan(item: Item, rng: np.random.Generator) -> Plan:
    """A valid plan of one to `max_steps` steps: random cut, random workers, random access."""
    parts = _cut(item.question.prompt, rng)[: max(1, item.max_steps - 1)]
    # What joins costs nothing and reads everything; where it is not offered, any worker that reads more than its subtask.
    readers = [name for name in item.names if name == JOIN_WORKER] or [name for name in item.names if name not in item.narrow]
    doers = [name for name in item.names if name != JOIN_WORKER]
    steps = [Step(doers[int(rng.integers(len(doers)))], part) for part in parts]
    if not readers or item.max_steps == 1 or len(steps) == 1:
        return Plan((steps[-1],))
    seen = tuple(range(len(steps)))
    if rng.random() < 0.15:
        seen = tuple(index for index in seen if rng.random() < 0.5) or (int(rng.integers(len(steps))),)
    last = Step(readers[int(rng.integers(len(readers)))], _CLOSING[int(rng.integers(len(_CLOSING)))], seen)
    kept = list(seen)
    renumbered = tuple(range(len(kept)))
    return Plan((*(steps[index] for index in kept), Step(last.worker, last.subtask, renumbered)))


def _cut(task: str, rng: np.random.Generator) -> list[str]:
    """The task whole, one of its pieces, or all of them in order or not."""
    found = pieces(task)
    draw = rng.random()
    if draw < 0.25 or len(found) == 1:
        return [task]
    if draw < 0.3:
        return [found[int(rng.integers(len(found)))]]
    return found if draw < 0.95 else [found[int(index)] for index in rng.permutation(len(found))]


def warm_text(item: Item, rng: np.random.Generator) -> str:
    """The canonical text of a random plan."""
    return plan_text(random_plan(item, rng), item.workers, style=item.style)


def warm_texts(items: Sequence[Item], seed: int) -> list[str]:
    """One plan for each item, the same for the same seed."""
    rng = np.random.default_rng([seed, 4])
    return [warm_text(item, rng) for item in items]
