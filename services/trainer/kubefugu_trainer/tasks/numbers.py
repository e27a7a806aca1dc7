"""Numbers in free text: integers with thousands separators, decimals, fractions, scientific notation."""

from __future__ import annotations

import re
from fractions import Fraction

_NUMBER = re.compile(
    r"(?<![\w.])[-−–]?\s?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?<=\d)(?:\s?(?:[eE]|[×x*]\s?10\s?(?:\^|\*\*))\s?\{?[-−+]?\d+\}?)?"
    r"(?:\s?/\s?[-−]?\d+(?:\.\d+)?)?"
)
_TERM_BEFORE = re.compile(r"(?:\d|\)|(?<![A-Za-z])[A-Za-z])\s*$")
"""What makes a following minus a subtraction: a number, a closing bracket or a one-letter variable."""
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\{([-−]?\d+)\}\{([-−]?\d+)\}")


def parse_number(text: str) -> float | None:
    """Value of one number as `numbers_in` finds it, or None."""
    plain = text.replace("−", "-").replace("–", "-").replace(",", "").replace(" ", "").replace("{", "").replace("}", "")
    plain = re.sub(r"[×x*]10(?:\^|\*\*)", "e", plain)
    try:
        if "/" in plain:
            top, bottom = plain.split("/", 1)
            return float(Fraction(top) / Fraction(bottom))
        return float(plain)
    except (ValueError, ZeroDivisionError, OverflowError):
        return None


def numbers_in(text: str) -> list[float]:
    """All numbers of a text, in order. A minus sign counts where it stands at a number's front and not between two terms."""
    text = _LATEX_FRACTION.sub(r"\1/\2", text)
    values = []
    for match in _NUMBER.finditer(text):
        token = match.group(0)
        if token[0] in "-−–" and _TERM_BEFORE.search(text[: match.start()]):
            token = token[1:]
        value = parse_number(token)
        if value is not None:
            values.append(value)
    return values


def close(value: float, wanted: float, *, relative: float, absolute: float) -> bool:
    """|value - wanted| <= absolute + relative * |wanted|."""
    return abs(value - wanted) <= absolute + relative * abs(wanted)
