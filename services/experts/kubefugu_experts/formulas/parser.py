"""Precedence climbing over a fixed set of tokens. What is not notation is an error, never guessed.

Understands implicit multiplication (2x, 3(x+1), xy), ^ and **, n!, |x|, percent signs, Unicode operators, powers and roots,
and the usual part of LaTeX. Formulas are limited in length and depth.
"""

from __future__ import annotations

import re
from fractions import Fraction

from kubefugu_experts.formulas.notation import FUNCTIONS, NAMES, plain_notation
from kubefugu_experts.formulas.tree import Binary, Call, Negative, Node, Number, Relation, Symbol

MAX_CHARS = 1_000
MAX_DEPTH = 60
MAX_TOKENS = 400

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][+-]?\d{1,3}(?![\w.]))?|\.\d+)|(?P<name>[A-Za-zα-ωΔ]+(?:_\d+)?)"
    r"|(?P<operator>\*\*|<=|>=|!=|==|[-+*/^()|!,=<>%;]))"
)
_TWO_LETTERS = frozenset("abckmnpqrstuvwxyz")
_NOT_PRODUCTS = frozenset(
    ("an", "am", "at", "as", "us", "my", "by", "up", "vs", "st", "mr", "ms", "mn", "tv", "pm", "km", "kb", "mm", "mb", "cm")
)
_RELATIONS = {"=": "=", "==": "=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_STARTS_FACTOR = re.compile(r"number|name|\(|\|")


class FormulaError(ValueError):
    """The text is no formula."""


def parse(text: str) -> Node:
    """A formula's tree. Raises FormulaError."""
    parser = _Parser(_tokens(text))
    node = parser.sum(0)
    parser.end()
    return node


def parse_relation(text: str) -> list[Relation]:
    """An equation or inequality; a chain (1 < x < 5) gives several. Raises FormulaError."""
    parser = _Parser(_tokens(text))
    sides = [parser.sum(0)]
    operators = []
    while parser.kind in _RELATIONS:
        operators.append(_RELATIONS[parser.take()[1]])
        sides.append(parser.sum(0))
    parser.end()
    if not operators:
        raise FormulaError("no relation")
    return [Relation(operator, left, right) for operator, left, right in zip(operators, sides, sides[1:], strict=False)]


def _tokens(text: str) -> list[tuple[str, str]]:
    """(kind, text) pairs; kinds are number, name, or the operator itself."""
    text = plain_notation(text)
    if len(text) > MAX_CHARS:
        raise FormulaError("too long")
    found: list[tuple[str, str]] = []
    position = 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise FormulaError(f"unexpected {text[position]!r}")
        position = match.end()
        if match["number"]:
            found.append(("number", match["number"].replace(",", "")))
        elif match["name"]:
            found += _names(match["name"])
        else:
            operator = "^" if match["operator"] == "**" else match["operator"]
            found.append((operator, operator))
    if not found or len(found) > MAX_TOKENS:
        raise FormulaError("empty or too long")
    return found


def _names(text: str) -> list[tuple[str, str]]:
    """One name, or a product of letters written together (xy)."""
    known = NAMES.get(text) or NAMES.get(text.lower() if len(text) > 1 else text)
    if known:
        return [("name", known)]
    if len(text) == 1 or "_" in text:
        return [("name", text)]
    if len(text) == 2 and set(text) <= _TWO_LETTERS and text not in _NOT_PRODUCTS:
        return [("name", text[0]), ("name", text[1])]
    raise FormulaError(f"unknown name {text!r}")


class _Parser:
    """Reads the tokens from left to right."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._position = 0
        self._bars = 0

    @property
    def kind(self) -> str:
        """Kind of the next token; empty at the end."""
        return self._tokens[self._position][0] if self._position < len(self._tokens) else ""

    def take(self) -> tuple[str, str]:
        """The next token."""
        if self._position >= len(self._tokens):
            raise FormulaError("unexpected end")
        self._position += 1
        return self._tokens[self._position - 1]

    def end(self) -> None:
        """Nothing may be left."""
        if self.kind:
            raise FormulaError(f"unexpected {self.kind!r}")

    def _expect(self, kind: str) -> None:
        if self.take()[0] != kind:
            raise FormulaError(f"{kind!r} expected")

    def sum(self, depth: int) -> Node:
        """a + b - c."""
        if depth > MAX_DEPTH:
            raise FormulaError("nested too deeply")
        node = self._product(depth + 1)
        while self.kind in ("+", "-"):
            operator = self.take()[1]
            node = Binary(operator, node, self._product(depth + 1))
        return node

    def _product(self, depth: int) -> Node:
        node = self._signed(depth)
        while True:
            if self.kind in ("*", "/"):
                operator = self.take()[1]
                node = Binary(operator, node, self._signed(depth))
            elif self.kind == "%" or (self.kind == "name" and self._tokens[self._position][1] == "mod"):
                self.take()
                node = Binary("mod", node, self._signed(depth))
            elif self._factor_follows():
                node = Binary("*", node, self._power(depth))
            else:
                return node

    def _factor_follows(self) -> bool:
        """True where a factor follows without a sign: 2x, (a)(b), but not 2 3."""
        if self.kind in ("name", "("):
            return True
        if self.kind == "|":
            return self._bars == 0
        return False

    def _signed(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise FormulaError("nested too deeply")
        if self.kind == "-":
            self.take()
            return Negative(self._signed(depth + 1))
        if self.kind == "+":
            self.take()
            return self._signed(depth + 1)
        return self._power(depth)

    def _power(self, depth: int) -> Node:
        base = self._postfix(depth)
        if self.kind == "^":
            self.take()
            return Binary("^", base, self._signed(depth + 1))
        return base

    def _postfix(self, depth: int) -> Node:
        node = self._atom(depth)
        while True:
            if self.kind == "!":
                self.take()
                node = Call("factorial", (node,))
            elif self.kind == "%" and not self._operand_after_percent():
                self.take()
                node = Binary("/", node, Number(Fraction(100)))
            else:
                return node

    def _operand_after_percent(self) -> bool:
        """7 % 3 is a remainder, 15% a fraction."""
        following = self._tokens[self._position + 1][0] if self._position + 1 < len(self._tokens) else ""
        return following in ("number", "name", "(")

    def _atom(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise FormulaError("nested too deeply")
        kind, text = self.take()
        if kind == "number":
            return Number(Fraction(text), decimal=not text.isdigit())
        if kind == "(":
            node = self.sum(depth + 1)
            self._expect(")")
            return node
        if kind == "|":
            self._bars += 1
            node = self.sum(depth + 1)
            self._bars -= 1
            self._expect("|")
            return Call("abs", (node,))
        if kind == "name":
            return self._call(text, depth) if text in FUNCTIONS else Symbol(text)
        raise FormulaError(f"unexpected {text!r}")

    def _call(self, name: str, depth: int) -> Node:
        """sin(x), sin x, sin^2(x), log_2(8), log(8, 2)."""
        power: Node | None = None
        if self.kind == "^":
            self.take()
            power = self._atom(depth + 1) if self.kind != "-" else self._signed(depth + 1)
        if self.kind == "(":
            self.take()
            arguments = [self.sum(depth + 1)]
            while self.kind in (",", ";"):
                self.take()
                arguments.append(self.sum(depth + 1))
            self._expect(")")
        else:
            arguments = [self._argument(depth + 1)]
        least, most = FUNCTIONS[name]
        if not least <= len(arguments) <= most:
            raise FormulaError(f"{name} takes {least} to {most} arguments")
        call: Node = Call(name, tuple(arguments))
        return call if power is None else Binary("^", call, power)

    def _argument(self, depth: int) -> Node:
        """The argument of a function without parentheses: sin 2x, sqrt 16, ln x^2."""
        node = self._signed(depth) if self.kind in ("-", "+") else self._power(depth)
        while self.kind == "name" and self._tokens[self._position][1] not in FUNCTIONS and isinstance(node, Number):
            node = Binary("*", node, self._power(depth))
        return node
