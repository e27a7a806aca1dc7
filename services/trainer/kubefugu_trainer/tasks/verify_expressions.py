"""Verifier of expressions in one variable: equal if the values agree at many points. Own parser, no computer algebra."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from kubefugu_trainer.tasks.verifiers import answer_part

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?|\.\d+)|(sin|cos|tan|exp|sqrt|ln|log|pi|[a-zA-Z])|(\*\*|[-+*/^()]))")
_FUNCTIONS: dict[str, Callable[[float], float]] = {
    "sin": math.sin, "cos": math.cos, "tan": math.tan, "exp": math.exp, "sqrt": math.sqrt, "ln": math.log, "log": math.log,
}  # fmt: skip
_POINTS = (0.31, 0.77, 1.43, 2.19, 3.61)


class ExpressionError(ValueError):
    """The text is no expression of the grammar."""


class _Parser:
    """Recursive descent with implicit multiplication; evaluates while it parses."""

    def __init__(self, text: str, variable: str, value: float) -> None:
        self.symbols = _symbols(text)
        self.position = 0
        self.names = {variable: value, "pi": math.pi, "e": math.e}

    def peek(self) -> str:
        return self.symbols[self.position] if self.position < len(self.symbols) else ""

    def take(self) -> str:
        symbol = self.peek()
        self.position += 1
        return symbol

    def total(self) -> float:
        value = self.product()
        while self.peek() in ("+", "-"):
            value = value + self.product() if self.take() == "+" else value - self.product()
        return value

    def product(self) -> float:
        value = self.unary()
        while (symbol := self.peek()) and symbol not in ("+", "-", ")"):
            if symbol == "/":
                self.take()
                value /= self.unary()
            else:
                if symbol == "*":
                    self.take()
                value *= self.unary()
        return value

    def unary(self) -> float:
        if self.peek() in ("+", "-"):
            return self.unary() if self.take() == "+" else -self.unary()
        return self.power()

    def power(self) -> float:
        base = self.atom()
        if self.peek() in ("^", "**"):
            self.take()
            return float(base ** self.unary())
        return base

    def atom(self) -> float:
        symbol = self.take()
        if symbol == "(":
            value = self.total()
            if self.take() != ")":
                raise ExpressionError("missing )")
            return value
        if symbol in _FUNCTIONS and self.peek() == "(":
            return _FUNCTIONS[symbol](self.atom())
        if symbol in self.names:
            return self.names[symbol]
        try:
            return float(symbol)
        except ValueError:
            raise ExpressionError(symbol) from None


def _symbols(text: str) -> list[str]:
    text = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+", lambda m: "^" + m[0].translate(_SUPERSCRIPTS), text)
    text = text.replace("−", "-").replace("·", "*").replace("×", "*").replace("\\cdot", "*").replace("{", "(").replace("}", ")")
    symbols, position = [], 0
    text = text.strip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if not match:
            raise ExpressionError(text[position:])
        symbols.append(match[1] or match[2] or match[3])
        position = match.end()
    return symbols


def evaluate(text: str, *, variable: str, value: float) -> float:
    """Value of an expression. Raises ExpressionError where it is none, or has no real value there."""
    parser = _Parser(text, variable, value)
    try:
        result = parser.total()
    except (ArithmeticError, TypeError, ValueError, RecursionError) as error:
        raise ExpressionError(str(error)) from error
    if parser.peek() or not math.isfinite(result):
        raise ExpressionError(text)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """An expression in one variable, in any equivalent form."""

    expression: str
    variable: str = "x"
    up_to_constant: bool = False
    """True: an antiderivative; a constant of integration is free."""

    def score(self, prompt: str, reply: str) -> float:
        """1 if some formula of the reply that the question does not contain equals the expression."""
        squeezed = re.sub(r"\s", "", prompt)
        for piece in _candidates(answer_part(reply)):
            if re.sub(r"\s", "", piece) not in squeezed and self._equal(piece):
                return 1.0
        return 0.0

    def _equal(self, piece: str) -> bool:
        if self.up_to_constant:
            piece = re.sub(r"\+\s*[cCkK]\b(?!\w)\s*$", "", piece.strip())
        try:
            differences = [
                evaluate(piece, variable=self.variable, value=x) - evaluate(self.expression, variable=self.variable, value=x)
                for x in _POINTS
            ]
        except ExpressionError:
            return False
        offset = differences[0] if self.up_to_constant else 0.0
        scale = max(abs(evaluate(self.expression, variable=self.variable, value=x)) for x in _POINTS)
        return all(abs(d - offset) <= 1e-6 * max(1.0, scale) for d in differences)


def _candidates(text: str) -> list[str]:
    pieces = re.split(r"[\n:;$`,]|=|\bis\b|\\\[|\\\]|\\\(|\\\)|(?<=[\w)])\.(?=\s|$)", text)
    return [piece.strip(" .*") for piece in pieces if piece.strip(" .*")]
