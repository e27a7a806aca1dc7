"""From a planner's text to three raw lists (ALGORITHMS.md section 3, parse). A text without them may have one line a step.

Planners wrap their lists in thoughts, fences, bullets and prose. The reader walks over the text once, outside of lists: it
skips `<think>` blocks, recognises labels with their aliases in any case, and takes the first balanced list after each label;
brackets and labels inside quoted strings don't count. Nothing is executed: values are Python literals or JSON. Whether the
lists make a plan is `validate`'s to say.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from kubefugu_coordination.workflow.diagnosis import Diagnosis, PlanCode
from kubefugu_coordination.workflow.step_lines import parse_step_lines

MAX_OUTPUT_CHARS = 65_536
_MAX_UNBALANCED = 16
_MAX_NESTING = 8

LABELS = ("model_id", "subtasks", "access_list")
_ALIASES = {
    "model_id": r"model[ _-]?ids?|models?|worker[ _-]?ids?|workers?|agent[ _-]?ids?|agents?",
    "subtasks": r"sub[ _-]?tasks?|tasks?",
    "access_list": r"access[ _-]?lists?|access",
}
# `<think>` tags and labels, whichever comes first. A label is a whole word; decoration around it is looked at afterwards.
_MARK = re.compile(
    r"(?P<open><think(?:ing)?>)|(?P<close></think(?:ing)?>)|(?<![\w-])(?:"
    + "|".join(f"(?P<{name}>{pattern})" for name, pattern in _ALIASES.items())
    + r")(?![\w-])",
    re.IGNORECASE,
)
# Between a label and its list: only decoration, or a separator followed by anything but another label.
_DECORATION = re.compile(r"[\s`*_\"'#)>|-]*")
_SEPARATOR = re.compile(r"[\s`*_\"'#)>|-]*(?:\([^()\[\]]{0,80}\)[\s`*_\"'#]*)?(?::=|[:=])")


@dataclass(frozen=True, slots=True)
class RawPlan:
    """Three lists as the planner wrote them; their contents are not checked yet."""

    model_id: list[Any]
    subtasks: list[Any]
    access_list: list[Any]
    notes: tuple[Diagnosis, ...] = ()


@dataclass(slots=True)
class _Found:
    """What the walk has collected: per label its first list, and the reasons of the occurrences that had none."""

    lists: dict[str, list[Any]] = field(default_factory=dict)
    failures: dict[str, Diagnosis] = field(default_factory=dict)
    repeated: set[str] = field(default_factory=set)
    open_thought: bool = False
    unbalanced: int = 0


def parse_plan(text: str) -> RawPlan | tuple[Diagnosis, ...]:
    """The planner's three lists, or why they can't be read. Never raises."""
    if len(text) > MAX_OUTPUT_CHARS:
        message = f"The output has {len(text)} characters; at most {MAX_OUTPUT_CHARS} are read."
        return (Diagnosis(PlanCode.OUTPUT_TOO_LONG, message),)
    if not text.strip():
        return (Diagnosis(PlanCode.EMPTY_OUTPUT, "The output is empty."),)
    found = _from_object(text) or _walk(text)
    missing = [label for label in LABELS if label not in found.lists]
    if missing:
        steps = parse_step_lines(text)
        if steps is None:
            return _why_missing(found, missing, text)
        return RawPlan(*steps) if isinstance(steps[0], list) else steps
    notes = tuple(
        Diagnosis(PlanCode.LABEL_REPEATED, f"{label} has several lists; the first one counts.")
        for label in LABELS
        if label in found.repeated
    )
    return RawPlan(found.lists["model_id"], found.lists["subtasks"], found.lists["access_list"], notes)


def _why_missing(found: _Found, missing: list[str], text: str) -> tuple[Diagnosis, ...]:
    if not found.lists and not found.failures:
        if found.open_thought:
            return (Diagnosis(PlanCode.THOUGHT_NOT_CLOSED, "The output ends inside <think>; no plan follows."),)
        if not re.sub(r"(?s)<think(?:ing)?>.*?</think(?:ing)?>", "", text).strip():
            return (Diagnosis(PlanCode.EMPTY_OUTPUT, "There is nothing after the thought."),)
    default = {label: Diagnosis(PlanCode.LIST_MISSING, f"No list follows the label {label}.") for label in missing}
    return tuple(found.failures.get(label, default[label]) for label in missing)


def _from_object(text: str) -> _Found | None:
    """A JSON object with the three keys. Only an object that is the whole answer (fences aside) counts."""
    body = re.sub(r"(?is)^\s*<think(?:ing)?>.*?</think(?:ing)?>", "", text).strip()
    fenced = re.match(r"(?s)^```[\w-]*\s*(.*?)\s*```", body)
    body = fenced.group(1) if fenced else body
    if not body.startswith("{"):
        return None
    try:
        document, _ = json.JSONDecoder(strict=False).raw_decode(body)
    except (ValueError, RecursionError):
        return None
    found = _Found()
    for key, value in document.items():
        match = _MARK.fullmatch(key.strip())
        label = match.lastgroup if match else None
        if label in _ALIASES and isinstance(value, list) and label not in found.lists:
            found.lists[label] = value
    return found if len(found.lists) == len(LABELS) else None


def _walk(text: str) -> _Found:
    found = _Found()
    position = 0
    # An unbalanced list is scanned to the end of the text; the bound keeps hostile outputs from costing seconds.
    while found.unbalanced < _MAX_UNBALANCED and (mark := _MARK.search(text, position)) is not None:
        position = mark.end()
        kind = mark.lastgroup or ""
        if kind == "open":
            end = re.compile(r"</think(?:ing)?>", re.IGNORECASE).search(text, position)
            if end is None:
                found.open_thought = True
                break
            position = end.end()
        elif kind == "close":
            # The opening tag was in the prompt (chat templates do that): all so far was thought.
            found = _Found(unbalanced=found.unbalanced)
        else:
            position = _read_label(text, mark, kind, found)
    return found


def _read_label(text: str, mark: re.Match[str], label: str, found: _Found) -> int:
    """Read the list after a label into `found`; returns where the walk goes on."""
    start = _list_start(text, mark.end())
    if start is None:
        return mark.end()
    end = _balanced_end(text, start)
    if end is None:
        found.unbalanced += 1
        message = f"The list after {label} is never closed."
        found.failures.setdefault(label, Diagnosis(PlanCode.LIST_UNBALANCED, message))
        return start + 1
    if label in found.lists:
        found.repeated.add(label)
        return end
    value = _literal(text[start:end])
    if value is None:
        message = f"The list after {label} is neither a Python literal nor JSON."
        found.failures.setdefault(label, Diagnosis(PlanCode.LIST_UNREADABLE, message))
    else:
        found.lists[label] = value
    return end


def _list_start(text: str, position: int) -> int | None:
    """Where the list of a label begins: directly after decoration, or after a separator and before the next label."""
    plain = _DECORATION.match(text, position)
    after = plain.end() if plain else position
    if text.startswith("[", after):
        return after
    separator = _SEPARATOR.match(text, position)
    if separator is None:
        return None
    bracket = text.find("[", separator.end())
    following = _MARK.search(text, separator.end())
    if bracket < 0 or (following is not None and following.start() < bracket):
        return None
    return bracket


def _balanced_end(text: str, start: int) -> int | None:
    """End (exclusive) of the list that begins at `start`, quote-aware; None where it isn't closed."""
    depth = 0
    for position in _outside_quotes(text, start):
        if text[position] == "[":
            depth += 1
        elif text[position] == "]":
            depth -= 1
            if depth == 0:
                return position + 1
    return None


def _outside_quotes(text: str, position: int) -> Iterator[int]:
    """Positions that are in no quoted string; escapes and Python's triple quotes are known."""
    while position < len(text):
        char = text[position]
        if char not in "\"'":
            yield position
            position += 1
            continue
        quote = char * 3 if text.startswith(char * 3, position) else char
        position += len(quote)
        while position < len(text) and not text.startswith(quote, position):
            position += 2 if text[position] == "\\" else 1
        position += len(quote)


def _literal(source: str) -> list[Any] | None:
    """A list from a Python literal, else from JSON; None if it is neither or nests absurdly."""
    depth = peak = 0
    for position in _outside_quotes(source, 0):
        depth += {"[": 1, "(": 1, "{": 1, "]": -1, ")": -1, "}": -1}.get(source[position], 0)
        peak = max(peak, depth)
    if peak > _MAX_NESTING:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "\d" in a subtask is a SyntaxWarning of the compiler
            value = ast.literal_eval(source)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        try:
            value = json.loads(source, strict=False)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, list) else None
