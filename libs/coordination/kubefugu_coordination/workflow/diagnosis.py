"""What can be wrong with a planner's output, one constant each, and what is changed in it with a note.

The codes are a contract: they travel in `PlanResponse.diagnoses`, decision records and training metrics (docs/conductor.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class PlanCode(StrEnum):
    """Why a planner output is refused, or (the last four) what was changed in an accepted one."""

    EMPTY_OUTPUT = "EMPTY_OUTPUT"
    """Nothing but whitespace, or nothing outside `<think>`."""
    OUTPUT_TOO_LONG = "OUTPUT_TOO_LONG"
    """Longer than `MAX_OUTPUT_CHARS`; it is not read at all."""
    THOUGHT_NOT_CLOSED = "THOUGHT_NOT_CLOSED"
    """`<think>` without `</think>` and no plan before it."""
    LIST_MISSING = "LIST_MISSING"
    """No list after one of the three labels."""
    LIST_UNBALANCED = "LIST_UNBALANCED"
    """A list whose bracket is never closed, typically an output cut at its token limit."""
    LIST_UNREADABLE = "LIST_UNREADABLE"
    """Balanced, but neither a Python literal nor JSON."""
    STEP_UNREADABLE = "STEP_UNREADABLE"
    """A line that begins a step of the one-line form and does not end it."""
    NO_STEPS = "NO_STEPS"
    """Empty lists, or no step with a subtask."""
    LENGTHS_DIFFER = "LENGTHS_DIFFER"
    """The three lists have different lengths."""
    TOO_MANY_STEPS = "TOO_MANY_STEPS"
    """More steps than allowed; never cut silently."""
    ID_NOT_AN_INTEGER = "ID_NOT_AN_INTEGER"
    """A worker id that is neither an integer nor a worker's exact name; booleans and floats count as neither."""
    ID_OUT_OF_RANGE = "ID_OUT_OF_RANGE"
    """A worker id outside the offered pool; never wrapped by a modulo."""
    SUBTASK_NOT_TEXT = "SUBTASK_NOT_TEXT"
    """A subtask that is no string, or holds characters that cannot be encoded."""
    SUBTASK_EMPTY = "SUBTASK_EMPTY"
    """An empty subtask before the last non-empty one."""
    ACCESS_NOT_A_LIST = "ACCESS_NOT_A_LIST"
    """An access entry that is neither a list nor "all"."""
    ACCESS_NOT_AN_INTEGER = "ACCESS_NOT_AN_INTEGER"
    """A member of an access list that is neither an integer nor "all"."""
    ACCESS_OUT_OF_RANGE = "ACCESS_OUT_OF_RANGE"
    """Access to a step that does not exist."""
    ACCESS_NOT_EARLIER = "ACCESS_NOT_EARLIER"
    """Access to the step itself or to a later one."""
    JOIN_WITHOUT_RESULTS = "JOIN_WITHOUT_RESULTS"
    """`@join` with an empty access list: it would put nothing together."""
    TRAILING_STEP_EMPTY = "TRAILING_STEP_EMPTY"
    """Note: an empty step at the end was dropped; the last non-empty step is the answer."""
    STEP_UNUSED = "STEP_UNUSED"
    """Note: no step on the way to the answer sees this one, so it was dropped."""
    LABEL_REPEATED = "LABEL_REPEATED"
    """Note: a label has several lists; the first one counts."""
    RESULTS_UNREAD = "RESULTS_UNREAD"
    """Note: a narrow engine is given results, but reads nothing but its subtask, so they are lost."""


NOTES = frozenset({PlanCode.TRAILING_STEP_EMPTY, PlanCode.STEP_UNUSED, PlanCode.LABEL_REPEATED, PlanCode.RESULTS_UNREAD})
"""Codes that change or comment a plan without refusing it."""
LOSSES = frozenset({PlanCode.STEP_UNUSED, PlanCode.RESULTS_UNREAD})
"""Notes that say that work is lost on the way to the answer: typically the step that joins the parts was forgotten."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One finding. `step` is the index in the planner's own lists, None for the whole output."""

    code: PlanCode
    message: str
    step: int | None = None

    def to_json(self) -> dict[str, str | int | None]:
        """As it stands in decision records."""
        return {"code": self.code.value, "message": self.message, "step": self.step}


def describe(diagnoses: Iterable[Diagnosis]) -> str:
    """The findings as lines, for the repair turn and for people."""
    lines = []
    for found in diagnoses:
        where = "" if found.step is None else f" (step {found.step})"
        lines.append(f"- {found.code.value}{where}: {found.message}")
    return "\n".join(lines)
