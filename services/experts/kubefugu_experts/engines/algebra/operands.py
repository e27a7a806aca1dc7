"""Finds what a question computes with, anywhere in it: expressions, equations, values of variables, numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from kubefugu_experts.formulas import FormulaError, parse, parse_relation, stretches
from kubefugu_experts.phrasing import words_to_digits

_DEFINITION = re.compile(r"^(?:y|[a-zA-Z] ?\( ?[a-zA-Z] ?\)) ?= ?(.+)$")
_VALUE = re.compile(r"^([a-zA-Z]) ?= ?(-?\d+(?:\.\d+)?(?:/\d+)?)$")
_VALUE_IN_WORDS = re.compile(
    r"\b([a-zA-Z]) (?:equals|is|being|equal to|set to|takes the value)(?: to)? (-?\d+(?:\.\d+)?)(?![\w.]*\w)"
)
_CALL = re.compile(r"^([a-zA-Z]) ?\( ?(-?\d+(?:\.\d+)?) ?\)$")
_AFTER_NUMBER = re.compile(
    r"\s*(?:$|[^\w\s]|(?:and|or|to|by|from|with|into|of|out|is|are|was|what|which|if|when|as|in|for|how|gives?|makes?|so|"
    r"percent|per ?cent|plus|minus|times|please|pls|thanks|squared|cubed|raised|multiplied|divided|divides?|together|the|"
    r"prime|both|away|than|mod|it|that|binary|added|goes|went|have|has|share|i|you|we|a|an|into|next|then|equals?|do|does|on|"
    r"composite|even|odd|up|down|or|rounded|written|expressed|using|can|will|would|at|numbers?|my|your|add|taken)\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Operands:
    """What stands in a question, in its order."""

    text: str
    expressions: tuple[str, ...]
    """With a variable and something to compute; the right side of `f(x) = ...` too."""
    equations: tuple[str, ...]
    values: dict[str, str] = field(default_factory=dict)
    """Of variables: {"x": "3"}."""
    calls: tuple[str, ...] = ()
    """The 3 of f(3)."""
    numbers: tuple[str, ...] = ()
    percents: tuple[str, ...] = ()
    sums: tuple[str, ...] = ()
    """Arithmetic without variables: 3 * (4 - 1), 3/4."""
    counted: bool = False
    """True where a number counts something (3 apples, 5 km): then it is no matter of numbers alone."""


def find_operands(text: str) -> Operands:
    """Everything in a question that looks like notation."""
    text = re.sub(r"(?<=[\w)])(²|³)", lambda match: "^2" if match[0] == "²" else "^3", text)
    runs = stretches(text)
    expressions: list[str] = []
    equations: list[str] = []
    values: dict[str, str] = {}
    calls: list[str] = []
    sums: list[str] = []
    for run in runs:
        if match := _VALUE.match(run):
            values[match[1]] = match[2]
        elif match := _CALL.match(run):
            calls.append(match[2])
        elif re.search(r"[=<>]", run) and _is_relation(run):
            definition = _DEFINITION.match(run)
            (expressions if definition else equations).append(definition[1] if definition else run)
        elif _is_expression(run) and re.search(r"(?<![a-z])[a-zA-Z](?![a-z])", run):
            expressions.append(run)
        elif re.search(r"\d", run) and re.search(r"[-+*/^(]", run.lstrip("-")) and _is_expression(run):
            sums.append(run)
    for name, value in _VALUE_IN_WORDS.findall(text):
        if name not in "aI" or any(re.search(rf"\b{name}\b", expression) for expression in expressions):
            values.setdefault(name, value)
    plain = text if re.search(r"\d", text) else words_to_digits(text)
    numbers, percents, counted = _numbers(plain)
    return Operands(text, tuple(expressions), tuple(equations), values, tuple(calls), numbers, percents, tuple(sums), counted)


def _is_expression(text: str) -> bool:
    if not re.search(r"[-+*/^(\d]", text) or not re.search(r"[\da-zA-Z]", text) or len(text) < 2:
        return False
    try:
        parse(text)
    except FormulaError:
        return False
    return True


def _is_relation(text: str) -> bool:
    try:
        return bool(parse_relation(text))
    except FormulaError:
        return False


def _numbers(text: str) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    """Numbers, percentages, and whether one counts things."""
    numbers, percents, counted = [], [], False
    pattern = re.compile(r"(?<![\w.^/])(?<![\w)]-)-?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:/\d+)?(?![\w/]|\.\d)")
    for match in pattern.finditer(text):
        rest = text[match.end() :]
        if re.match(r" ?(?:%|per ?cent\b)", rest, re.IGNORECASE):
            percents.append(match[0])
        else:
            numbers.append(match[0].replace(",", ""))
            counted = counted or not _AFTER_NUMBER.match(rest)
    return tuple(numbers), tuple(percents), counted
