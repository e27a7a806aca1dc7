"""What a Conductor of the default pool meets: two thirds questions with two parts, one third single ones of every field.

A planner that only ever saw two parts would cut everything in two. Single questions are short ones, because a plan repeats its
task. The splits share no text, whatever the seed: `side` of the text says where a question belongs.
"""

from __future__ import annotations

from kubefugu_core.errors import DataError
from kubefugu_trainer.tasks.pairs import build_pairs, side
from kubefugu_trainer.tasks.sets import SplitQuestion, build

NAME = "mixed"
_SINGLE_SHARE = 1 / 3
_MAX_CHARS = 120
"""Longest single question."""
_SPARE = {"train": 4, "test": 12}
"""So many times the questions are drawn, because the others belong to the other side or are too long."""


def build_mixed(*, n: int, seed: int, split: str) -> list[SplitQuestion]:
    """`n` questions in a steady mixture, the same for the same arguments; `split` is train or test. Raises DataError."""
    singles = round(n * _SINGLE_SHARE)
    pairs = iter(build_pairs(n=n - singles, seed=seed, split=split))
    alone = iter(_singles(singles, seed=seed, split=split))
    # One single question after two pairs, so that any head of the list is such a mixture too.
    return [next(alone if (number + 1) * singles // n > number * singles // n else pairs) for number in range(n)]


def _singles(n: int, *, seed: int, split: str) -> list[SplitQuestion]:
    if n == 0:
        return []
    drawn = build("default", n=n * _SPARE[split], seed=seed, split=split)
    fit = [row for row in drawn if len(row.question.text) <= _MAX_CHARS and side(row.question.text) == split]
    fields: dict[str, list[SplitQuestion]] = {}
    for row in fit:
        fields.setdefault(row.question.field, []).append(row)
    # Round robin over the fields; fresh templates alternate with the others where the split has them.
    queues = [_alternating(fields[name]) for name in sorted(fields)]
    found: list[SplitQuestion] = []
    while len(found) < n and any(queues):
        found.extend(queue.pop(0) for queue in queues if queue)
    if len(found) < n:
        raise DataError(f"There are no {n} different short questions.", field="n")
    return found[:n]


def _alternating(rows: list[SplitQuestion]) -> list[SplitQuestion]:
    slices = [[row for row in rows if row.slice == name] for name in sorted({row.slice for row in rows})]
    longest = max(len(part) for part in slices)
    return [part[place] for place in range(longest) for part in slices if place < len(part)]
