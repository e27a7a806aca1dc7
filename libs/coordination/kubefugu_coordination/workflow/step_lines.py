"""A plan as one line a step: `"subtask" -> worker [0, 1]`, the form that the smallest decoders write best.

What belongs to a step stands in one line, so nothing can differ in length; the worker is named when the subtask is written. The
access list is left out where it is empty, and is `all` where it holds every earlier step: nothing has to be counted. Bullets,
numbers, fences and prose around the lines are skipped.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from typing import Any

from kubefugu_coordination.workflow.diagnosis import Diagnosis, PlanCode
from kubefugu_coordination.workflow.plan import Plan

_QUOTED = r"\"(?:[^\"\\\n]|\\.)*+\"|'(?:[^'\\\n]|\\.)*+'"
_LEAD = r"[ \t]*+(?:[-*+][ \t]++|\(?\d{1,3}[.:)][ \t]*+)?"
_BEGIN = re.compile(rf"{_LEAD}[\"']")
# Possessive, because spaces could be shared out among its parts in many ways: a hostile line costs no more than its length.
_STEP = re.compile(
    rf"{_LEAD}(?P<subtask>{_QUOTED})[ \t]*+(?:->|=>|\u2192)[ \t]*+"
    rf"(?P<worker>{_QUOTED}|[^\s\"'\[\],;]++)[ \t]*+,?[ \t]*+(?P<access>\[[^\[\]]*+\]|\"all\"|all)?[ \t]*+[;,]?[ \t]*+"
)
_THOUGHT = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.IGNORECASE | re.DOTALL)
_THOUGHT_END = re.compile(r"</think(?:ing)?>", re.IGNORECASE)

_ID_DIGITS = 9
"""Longest id that is read as a number; int() refuses thousands of digits."""

RawSteps = tuple[list[Any], list[Any], list[Any]]
"""Worker ids or names, subtasks, access; as long as each other, their contents not checked yet."""


def render_step_lines(plan: Plan) -> str:
    """The canonical text of a plan in this form."""
    return "\n".join(
        f"{json.dumps(step.subtask, ensure_ascii=False)} -> {_name(step.worker)}{_access(step.access, index)}"
        for index, step in enumerate(plan.steps)
    )


def _name(worker: str) -> str:
    """Bare digits are an id."""
    return json.dumps(worker) if worker.isdecimal() else worker


def _access(access: tuple[int, ...], index: int) -> str:
    if not access:
        return ""
    return " all" if len(access) == index else f" {list(access)}"


def parse_step_lines(text: str) -> RawSteps | tuple[Diagnosis, ...] | None:
    """The steps of a text; None where it has none; why not where a line begins a step and does not end it. Never raises."""
    steps: RawSteps = ([], [], [])
    failures: list[Diagnosis] = []
    # A closing tag that is left over was opened in the prompt (chat templates do that): all before it was thought.
    for line in _THOUGHT_END.split(_THOUGHT.sub("", text))[-1].split("\n"):
        match = _STEP.fullmatch(line.rstrip(" \t\r`"))
        if match is not None:
            worker, access = match["worker"], match["access"]
            steps[0].append(int(worker) if worker.isdecimal() and len(worker) <= _ID_DIGITS else _literal(worker))
            steps[1].append(_literal(match["subtask"]))
            steps[2].append([] if access is None else _literal(access))
        elif _BEGIN.match(line):
            message = 'A line begins a step but is not of the form "subtask" -> worker [steps that it sees].'
            failures.append(Diagnosis(PlanCode.STEP_UNREADABLE, message, len(steps[0]) + len(failures)))
    if not steps[0]:
        return None
    return tuple(failures) or steps


def _literal(source: str) -> Any:
    """A string or list as JSON or Python write it; anything else is its own text."""
    if source[0] not in "\"'[":
        return source
    try:
        return json.loads(source)
    except (ValueError, RecursionError):
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "\d" in a subtask is a SyntaxWarning of the compiler
            return ast.literal_eval(source)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return source
