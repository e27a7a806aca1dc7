"""Propositional formulas in words or symbols, parsed into z3."""

from __future__ import annotations

import re

import z3

from kubefugu_experts.engines.logic.solving import Bool

MAX_VARIABLES = 12

_WORDS: tuple[tuple[str, str], ...] = (
    (r"\bif and only if\b|\biff\b|\bis equivalent to\b|<=>|<->|<-->|⇔|↔|≡|⟺", " ↔ "),
    (r"\bimplies\b|\bonly if\b|-->|->|=>|⇒|⊃|⟹|\bimply\b", " → "),
    (r"\bexclusive or\b|\bxor\b|⊕|⊻", " ⊕ "),
    (r"\bnand\b|↑", " ↑ "),
    (r"\bnor\b(?! not)|↓", " ↓ "),
    (r"\band\b|&&|&|/\\|∧|\bbut\b|·", " ∧ "),
    (r"\bor\b|\|\||\||\\/|∨", " ∨ "),
    (r"\bit is not the case that\b|\bit is false that\b|\bnot\b|~|!(?!=)|¬|\bneg\b", " ¬ "),
    (r"\btrue\b|⊤", " ⊤ "),
    (r"\bfalse\b|⊥", " ⊥ "),
)
_TOKEN = re.compile(
    r"\s*([A-Za-z](?![A-Za-z])(?:_?\d)?|[()\[\]↔→⊕↑↓∧∨¬⊤⊥]|\bif\b|\bthen\b|\bboth\b|\beither\b|,)", re.IGNORECASE
)
_BINARY = {"↔": 1, "→": 2, "⊕": 3, "↓": 3, "∨": 3, "↑": 4, "∧": 4}


class NotAFormulaError(ValueError):
    """The text is no propositional formula."""


class Formula:
    """A parsed formula: its z3 form, its variables in order, its text."""

    def __init__(self, text: str) -> None:
        self.text = text.strip(" .,;:?'\"")
        self._symbols = _symbolize(self.text)
        self._position = 0
        self.names: list[str] = []
        self.z3: Bool = self._expression(0)
        if self._position != len(self._symbols):
            raise NotAFormulaError(text)
        if len(self.names) > MAX_VARIABLES:
            raise NotAFormulaError("too many variables")

    def _peek(self) -> str:
        return self._symbols[self._position] if self._position < len(self._symbols) else ""

    def _take(self) -> str:
        symbol = self._peek()
        if not symbol:
            raise NotAFormulaError(self.text)
        self._position += 1
        return symbol

    def _expression(self, least: int, depth: int = 0) -> Bool:
        if depth > 60:
            raise NotAFormulaError("nested too deeply")
        left = self._unary(depth)
        while (power := _BINARY.get(self._peek(), 0)) > 0 and power >= max(least, 1):
            operator = self._take()
            right = self._expression(power if operator == "→" else power + 1, depth + 1)
            left = _combine(operator, left, right)
        return left

    def _unary(self, depth: int) -> Bool:
        symbol = self._take()
        if symbol == "¬":
            return z3.Not(self._unary(depth + 1))
        if symbol in ("both", "either"):
            return (
                self._unary(depth + 1) if self._peek() == "(" else self._expression(3 if symbol == "either" else 4, depth + 1)
            )
        if symbol == "if":
            condition = self._expression(1, depth + 1)
            if self._peek() == ",":
                self._take()
            if self._peek() == "then":
                self._take()
            return z3.Implies(condition, self._expression(2, depth + 1))
        if symbol in "([":
            inner = self._expression(0, depth + 1)
            if self._take() not in ")]":
                raise NotAFormulaError(self.text)
            return inner
        if symbol in "⊤⊥":
            return z3.BoolVal(symbol == "⊤")
        if re.fullmatch(r"[A-Za-z](?:_?\d)?", symbol):
            if symbol not in self.names:
                self.names.append(symbol)
            return z3.Bool(symbol)
        raise NotAFormulaError(self.text)


def _symbolize(text: str) -> list[str]:
    text = re.sub(
        r"\b([A-Za-z]) (?:is|are) (true|false)\b", lambda match: match[1] if match[2] == "true" else f"not {match[1]}", text
    )
    for pattern, symbol in _WORDS:
        text = re.sub(pattern, symbol, text, flags=re.IGNORECASE)
    text = re.sub(r"(?<=[\s)\w]) v (?=[\s(\w¬])", " ∨ ", text)
    text = re.sub(r"(?<=[\s)\w]) \^ (?=[\s(\w¬])", " ∧ ", text)
    symbols: list[str] = []
    position = 0
    text = text.strip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or len(symbols) > 200:
            raise NotAFormulaError(text)
        symbols.append(match[1].lower() if len(match[1]) > 1 and match[1].isalpha() else match[1])
        position = match.end()
    if not symbols or not any(symbol.isalpha() or symbol in "⊤⊥" for symbol in symbols):
        raise NotAFormulaError(text)
    return symbols


def _combine(operator: str, left: Bool, right: Bool) -> Bool:
    match operator:
        case "↔":
            return left == right
        case "→":
            return z3.Implies(left, right)
        case "⊕":
            return z3.Xor(left, right)
        case "∨":
            return z3.Or(left, right)
        case "↓":
            return z3.Not(z3.Or(left, right))
        case "↑":
            return z3.Not(z3.And(left, right))
        case _:
            return z3.And(left, right)


def is_compound(formula: Formula) -> bool:
    """An operator is in it: "A" alone is mostly the English article."""
    return not z3.is_const(formula.z3)
