"""Reads a question by meaning: which operation do its words speak of, wherever they stand?

An engine lists its operations with cues (keywords, their inflections and synonyms). The operation whose cues weigh most is
meant; where two weigh the same, or none is spoken of, the question stays unread. Small talk and order play no part.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

Name = TypeVar("Name")


@dataclass(frozen=True, slots=True)
class Cue:
    """Words that speak of an operation, and how surely they do (in points)."""

    pattern: re.Pattern[str]
    points: int


@dataclass(frozen=True, slots=True)
class Operation:
    """What may be asked for."""

    name: str
    cues: tuple[Cue, ...]

    def points(self, text: str) -> int:
        """The surest cue counts in full, every further one a point."""
        found = sorted((cue.points for cue in self.cues if cue.pattern.search(text)), reverse=True)
        return found[0] + len(found) - 1 if found else 0


def operation(name: str, *cues: tuple[int, str]) -> Operation:
    """An operation by pairs of points and pattern; patterns match whole words from their start, in any case."""
    return Operation(name, tuple(Cue(re.compile(rf"\b(?:{pattern})", re.IGNORECASE), points) for points, pattern in cues))


def meant(text: str, operations: Sequence[Operation]) -> str | None:
    """The name of the operation that the text speaks of; None where none or several do equally."""
    scored = sorted(((each.points(text), each.name) for each in operations), reverse=True)
    if not scored or scored[0][0] == 0 or (len(scored) > 1 and scored[1][0] == scored[0][0]):
        return None
    return scored[0][1]
