"""Results as text: SymPy's plain notation, decimals beside what is not a whole number."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import sympy

from kubefugu_experts.phrasing import Rounding

_DIGITS = 7
_LONGEST = 1_200


class UntellableError(ValueError):
    """The result is too long, or nothing that can be written in a sentence."""


def tell(expression: Any) -> str:
    """An expression in plain notation (x**2, sqrt(2), 3*x/4)."""
    text: str = sympy.sstr(expression).replace("oo", "infinity").replace("zinfinity", "complex infinity")
    text = text.replace("log(", "ln(").replace("E**", "e**").replace("I*", "i*").replace("*I", "*i")
    if expression.has(sympy.I):
        text = text.replace("I", "i")
    if expression == sympy.E or expression.has(sympy.E):
        text = _lower_e(text)
    if len(text) > _LONGEST:
        raise UntellableError(text[:40])
    return text


def _lower_e(text: str) -> str:
    return text.replace("E", "e")


def tell_number(value: Any, rounding: Rounding, *, decimal: bool = False) -> str:
    """A number: exact, with its decimal value beside it where it is no whole number; decimals alone where asked for."""
    if value.is_Integer:
        wished = rounding.apply(Decimal(int(value))) if rounding.decimals else None
        return wished or tell(value)
    if value.is_real and value.is_finite:
        if wished := rounding.apply(to_decimal(value, 40)):
            return wished
        terminating = value.is_Rational and not _other_primes(value.q)
        if decimal and terminating:
            return plain(to_decimal(value, 30))
        about = approximate(value)
        if decimal and value.is_Rational:
            return plain(to_decimal(value, 12))
        exact = tell(value)
        if terminating and len(plain(to_decimal(value, 30))) <= 14:
            return f"{exact} ({plain(to_decimal(value, 30))})"
        return f"{exact} (about {about})"
    if value.is_number and value.is_finite and not value.is_real:
        return _tell_complex(value, decimal=decimal)
    return tell(value)


def _tell_complex(value: Any, *, decimal: bool) -> str:
    real, imaginary = sympy.re(value), sympy.im(value)
    if decimal and real.is_Rational and imaginary.is_Rational:
        sign = "-" if imaginary < 0 else "+"
        imaginary_text = f"{plain(to_decimal(abs(imaginary), 12))}i"
        return (
            f"{plain(to_decimal(real, 12))} {sign} {imaginary_text}"
            if real
            else f"{'-' if imaginary < 0 else ''}{imaginary_text}"
        )
    return tell(sympy.expand_complex(value) if len(sympy.sstr(value)) < 60 else value)


def approximate(value: Any) -> str:
    """Seven significant digits."""
    return plain(to_decimal(value, _DIGITS))


def to_decimal(value: Any, digits: int) -> Decimal:
    """The value with so many significant digits."""
    return Decimal(str(sympy.N(value, digits)))


def plain(value: Decimal) -> str:
    """Without needless zeros; powers of ten only for very large and small numbers."""
    if value == 0:
        return "0"
    if -7 <= value.adjusted() <= 25:
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    mantissa, _, exponent = f"{value:e}".partition("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa}e{int(exponent)}"


def _other_primes(number: int) -> bool:
    """True where a denominator has prime factors beside 2 and 5."""
    for prime in (2, 5):
        while number % prime == 0:
            number //= prime
    return number != 1
