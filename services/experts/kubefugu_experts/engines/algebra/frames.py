"""What the algebra commands share: pulling variables, points and bounds out of a request."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kubefugu_experts.engines.algebra.convert import Expr, symbol, to_equation, to_sympy
from kubefugu_experts.engines.algebra.wording import to_notation
from kubefugu_experts.formulas import FormulaError, parse, parse_relation, symbols

_DEFINED = re.compile(
    r"^(?:the )?(?:function |curve |expression |polynomial |equation )?(?:[a-zA-Z]'{0,3} ?\(?(?:[a-zA-Z])\)|y) ?= ?(.+)$"
)


@dataclass(frozen=True, slots=True)
class Formula:
    """An expression and its variables."""

    expression: Expr
    variables: tuple[str, ...]
    decimal: bool


def read_formula(text: str, variables: tuple[str, ...] = ()) -> Formula:
    """Read an expression written in notation or words; "f(x) =" before it is dropped. Raises FormulaError."""
    text = _NOUNS.sub("", text.strip(" :,"))
    if match := _DEFINED.match(text):
        text = match[1]
    tree = parse(to_notation(text))
    names = tuple(sorted(symbols(tree) | (set(variables) & _letters(text))))
    return Formula(to_sympy(tree, variables), names, decimal=bool(re.search(r"\.\d|%|\bpercent\b", text)))


_NOUNS = re.compile(
    r"^(?:of )?(?:the )?(?:(?:following|given|algebraic|mathematical|polynomial|quadratic|rational|arithmetic|numerical) )*"
    r"(?:expression|polynomial|function|term|quadratic|trinomial|binomial|number|fraction|equation|value|product|calculation|formula)?"
    r"s?(?: (?:of|is|below|given by))?[ :]+(?=[-\w(|√∫\\$])",
    re.IGNORECASE,
)


def _letters(text: str) -> set[str]:
    return set(re.findall(r"(?<![A-Za-z])[A-Za-z](?![A-Za-z])", text))


def read_relations(text: str, variables: tuple[str, ...] = ()) -> list[Expr]:
    """Equations and inequalities, separated by commas, semicolons or "and". Raises FormulaError."""
    text = _NOUNS.sub("", text.strip(" :,;"))
    pieces = [piece.strip(" ,;{}") for piece in re.split(r",\s*(?:and\s+)?(?![^(]*\))|;|\band\b|&|\\\\", text)]
    pieces = [re.sub(r"^(?:and|also|where|with)\s+|^(?:\(?\d[).]\s+)", "", piece) for piece in pieces if piece]
    if not pieces:
        raise FormulaError("nothing")
    return [to_equation(relation, variables) for piece in pieces for relation in parse_relation(to_notation(piece))]


def main_variable(names: tuple[str, ...], wished: str | None) -> Expr:
    """The variable to work with: the wished one, x, or the only one. Raises FormulaError."""
    if wished:
        return symbol(wished)
    for name in ("x", "t", "y", "z"):
        if name in names:
            return symbol(name)
    if len(names) == 1:
        return symbol(names[0])
    if not names:
        return symbol("x")
    raise FormulaError("which variable?")
