"""How a file of questions becomes training and held-out ones, and the refusal of a file that is too small."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kubefugu_core.errors import DataError
from kubefugu_trainer.tasks.files import read_questions
from kubefugu_trainer.tasks.sets import held

_HELD_OUT_SHARE = 5
"""One question of five is held out where the run does not say how many."""
_LEAST_TRAINING = 4
_LEAST_HELD_OUT = 2


@dataclass(frozen=True, slots=True)
class Counts:
    """How many questions are for what; none is for both."""

    training: int
    held_out: int


def split_counts(there: int, *, training: int, held_out: int, at_least: int = _LEAST_TRAINING) -> Counts:
    """`there` different questions shared out; 0 for `training`: the rest, for `held_out`: a fifth of all.

    Raises DataError that names the field and says how many are needed.
    """
    tested = held_out or max(_LEAST_HELD_OUT, there // _HELD_OUT_SHARE)
    least = max(at_least, _LEAST_TRAINING)
    wanted = training or max(least, there - tested)
    if wanted < least:
        raise DataError(f"questions is {wanted}; at least {least} are needed.", field="questions")
    if there < wanted + tested:
        raise DataError(
            f"data has {there} different questions; {wanted} for training and {tested} held-out ones need {wanted + tested}.",
            field="data",
        )
    return Counts(wanted, tested)


def counted(path: Path, *, plain: bool = True) -> int:
    """Different questions of a file. `plain`: none may have a system message or tools. Raises DataError."""
    for number, question in enumerate(read_questions(path), start=1):
        if plain and (question.system or question.tools):
            raise DataError(
                f"{path.name}: question {number} has a system message or tools; a planner is asked questions alone.",
                field="data",
            )
    return held(str(path)) or 0
