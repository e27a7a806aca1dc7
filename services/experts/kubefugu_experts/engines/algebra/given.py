"""The numbers that a question gives: patterns for them, and their values."""

from __future__ import annotations

import re
from fractions import Fraction

import sympy

from kubefugu_experts.engines.algebra.telling import tell_number
from kubefugu_experts.formulas import FormulaError
from kubefugu_experts.phrasing import Rounding

_LARGEST = 10**18
ASK = (
    r"^(?:(?:find|compute|calculate|determine|what is|what's|what are|give|get|tell|list|write|name|"
    r"show|state|work out|do) )?(?:the |all |all the |an? )*"
)
NUMBER = r"(-?\d[\d,]*(?:\.\d+)?)"
INT = r"(\d[\d,]*)"


def integer(text: str) -> int:
    """An integer, perhaps with commas between thousands. Raises FormulaError for one that is too large."""
    value = int(text.replace(",", ""))
    if abs(value) > _LARGEST:
        raise FormulaError("too large")
    return value


def integers(text: str) -> list[int]:
    """All integers of a text."""
    return [
        integer(number)
        for number in re.findall(r"-?\d+", re.sub(r"(?<=\d),(?=\d{3}\b)", "" if ", " in text or " and " in text else ",", text))
    ]


def numbers(text: str) -> list[Fraction] | None:
    """A list of numbers and fractions with nothing else between them."""
    text = re.sub(
        r"\band\b|[,;\[\](){}]|\bthe numbers?\b|\bthese\b|\bnumbers?\b|:",
        " ",
        re.sub(r"(?<=\d),(?=\d{3}(?:\D|$))(?=.* )", "", text),
    )
    parts = text.split()
    if (
        not parts
        or not all(re.fullmatch(r"-?\d+(?:\.\d+)?(?:/\d+)?", part) for part in parts)
        or any("/0" in part for part in parts)
    ):
        return None
    return [Fraction(part) for part in parts]


def tell_fraction(value: Fraction, rounding: Rounding, *, decimal: bool = False) -> str:
    """A fraction as an answer writes it."""
    return tell_number(sympy.Rational(value.numerator, value.denominator), rounding, decimal=decimal)


def fraction(text: str) -> Fraction:
    """A number with commas between thousands."""
    return Fraction(text.replace(",", ""))
