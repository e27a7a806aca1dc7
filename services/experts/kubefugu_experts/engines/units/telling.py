"""Values as text: up to seven significant digits, more where they are exact, no needless zeros."""

from __future__ import annotations

from decimal import Decimal

from kubefugu_experts.phrasing import Rounding

_DIGITS = 7
_EXACT_DIGITS = 12
_WHOLE_FROM = 1e7
"""From here on the digits before the point are enough."""


def tell_value(value: float, rounding: Rounding) -> str:
    """A number for people: 3.106856; 1609.344; 0.0006213712; 9.4607e15."""
    if wished := rounding.apply(Decimal(repr(float(value)))):
        return wished
    exact = float(f"{value:.{_EXACT_DIGITS}g}")
    digits = len(f"{abs(exact):.15g}".replace(".", "").strip("0"))
    if abs(value) >= _WHOLE_FROM:
        shown = float(round(value))
    else:
        shown = exact if digits <= _DIGITS + 1 or exact == int(exact) else float(f"{value:.{_DIGITS}g}")
    if shown == 0:
        return "0"
    if 1e-6 <= abs(shown) < 1e15:
        return f"{Decimal(repr(shown)):f}".removesuffix(".0")
    mantissa, _, exponent = f"{shown:.{_DIGITS - 1}e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
