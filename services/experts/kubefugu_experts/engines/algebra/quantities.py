"""Percentages, averages, comparisons, rounding: questions about given quantities."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from statistics import median as middle
from statistics import multimode

from kubefugu_experts.engines.algebra.convert import to_sympy
from kubefugu_experts.engines.algebra.given import ASK, NUMBER, fraction, numbers, tell_fraction
from kubefugu_experts.engines.algebra.telling import plain
from kubefugu_experts.engines.algebra.wording import to_notation
from kubefugu_experts.formulas import FormulaError, parse
from kubefugu_experts.phrasing import Rounding, words_to_digits

_PERCENT_OF = re.compile(
    rf"^(?:{NUMBER} is what (?:percent(?:age)?|%) of {NUMBER}|(?:what|which) (?:percent(?:age)?|"
    rf"%) (?:of {NUMBER} is {NUMBER}|is {NUMBER} (?:out )?of {NUMBER}))$",
    re.IGNORECASE,
)
_CHANGE = re.compile(
    ASK + rf"(?:percent(?:age)?|%) (change|increase|decrease|difference)(?: when (?:something )?(?:going|"
    rf"it goes))? (?:from|between) {NUMBER} (?:to|and) {NUMBER}$",
    re.IGNORECASE,
)
_BY_PERCENT = re.compile(
    rf"^(?:what is |what's )?(?:(increase|decrease|reduce|raise|"
    rf"discount) {NUMBER} by {NUMBER} ?(?:%|percent)|{NUMBER} (increased|decreased|reduced|"
    rf"raised|discounted) by {NUMBER} ?(?:%|percent))$",
    re.IGNORECASE,
)
_OF_WHAT = re.compile(rf"^{NUMBER} is {NUMBER} ?(?:%|percent) of (?:what|which)(?: number)?$", re.IGNORECASE)
_AS = re.compile(
    r"^(?:convert |write |express |change |turn |what is |what's |how (?:do|would) (?:you|"
    r"i) write )?(?:the )?(?:fraction |decimal |number |percentage )?(-?\d[\d,]*(?:\.\d+)?(?: ?/ "
    r"?\d+)?) ?(%|percent)? (?:as|to|in|into) (?:an? )?(?:exact |simplified |reduced |"
    r"its )?(decimal|fraction|percent|percentage|mixed number|lowest terms|simplest form|"
    r"simplest terms)(?: number| form| notation)?(?: in (?:lowest terms|simplest form|"
    r"its simplest form|simplest terms))?$",
    re.IGNORECASE,
)


def percent(text: str, rounding: Rounding) -> str | None:
    """Percentages, and fractions, decimals and percentages as each other."""
    if match := _PERCENT_OF.match(text):
        part, whole = (match[1], match[2]) if match[1] else (match[4], match[3]) if match[3] else (match[5], match[6])
        part_value, whole_value = fraction(part), fraction(whole)
        return f"It is {tell_fraction(100 * part_value / whole_value, rounding, decimal=True)}%." if whole_value else None
    if match := _CHANGE.match(text):
        old, new = fraction(match[2]), fraction(match[3])
        change = 100 * (new - old) / old
        which = "an increase" if change >= 0 else "a decrease"
        return f"It is {which} of {tell_fraction(abs(change), rounding, decimal=True)}%."
    if match := _BY_PERCENT.match(text):
        word, base, rate = (match[1], match[2], match[3]) if match[1] else (match[5], match[4], match[6])
        sign = 1 if word.lower().startswith(("increase", "raise")) else -1
        return f"It is {tell_fraction(fraction(base) * (1 + sign * fraction(rate) / 100), rounding, decimal=True)}."
    if match := _OF_WHAT.match(text):
        return f"It is {tell_fraction(100 * fraction(match[1]) / fraction(match[2]), rounding, decimal=True)}."
    if match := _AS.match(text):
        value = Fraction(re.sub(r"[ ,]", "", match[1])) / (100 if match[2] else 1)
        kind = match[3].lower()
        if kind == "decimal":
            exact = Decimal(value.numerator) / Decimal(value.denominator)
            return f"It is {rounding.apply(exact) or plain(Decimal(f'{float(value):.10g}') if _repeats(value) else exact)}."
        if kind in ("percent", "percentage"):
            return f"It is {tell_fraction(100 * value, rounding, decimal=True)}%."
        if kind == "mixed number" and abs(value) > 1 and value.denominator > 1:
            whole = int(value)
            return f"It is {whole} {abs(value - whole)}."
        return f"It is {value}."
    return None


def _repeats(value: Fraction) -> bool:
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest != 1


_AVERAGE = re.compile(
    ASK + r"(average|(?:arithmetic )?mean|median|mode|sum|total|product|maximum|minimum|largest|"
    r"smallest|range|max|min|greatest|biggest|lowest|highest|least)(?: value| number)?(?: of| for|"
    r" between| among| in)?(?: the)?(?: following)?(?: numbers?| values?| integers?| list|"
    r" set)*:? ?(-?\d.*)$",
    re.IGNORECASE,
)


def statistics(text: str, rounding: Rounding) -> str | None:
    """Average, median, mode, sum, product, largest and smallest of a list."""
    match = _AVERAGE.match(text)
    if match is None:
        return None
    values = numbers(match[2])
    if values is None or len(values) < 2 or len(values) > 200:
        return None
    kind = match[1].lower().removeprefix("arithmetic ")
    if kind == "mode":
        modes = multimode(values)
        return (
            f"The mode is {' and '.join(tell_fraction(mode, rounding, decimal=True) for mode in modes)}."
            if len(modes) < len(values)
            else "There is no mode: every value occurs once."
        )
    makers: dict[str, Callable[[list[Fraction]], Fraction]] = {
        "average": lambda items: sum(items, Fraction(0)) / len(items),
        "mean": lambda items: sum(items, Fraction(0)) / len(items),
        "median": middle,
        "sum": lambda items: sum(items, Fraction(0)),
        "total": lambda items: sum(items, Fraction(0)),
        "product": _product,
        "range": lambda items: max(items) - min(items),
    }
    large = kind in ("maximum", "largest", "max", "greatest", "biggest", "highest")
    value = makers[kind](values) if kind in makers else max(values) if large else min(values)
    return f"The {kind} is {tell_fraction(value, rounding, decimal='.' in match[2] or kind in ('average', 'mean', 'median'))}."


def _product(items: list[Fraction]) -> Fraction:
    result = Fraction(1)
    for item in items:
        result *= item
    return result


_COMPARE = re.compile(
    r"^(?:which|what)(?: number| one| fraction| value)?(?: of (?:these|the following|"
    r"the two))?(?: is| are)?(?: the)? (larger|bigger|greater|smaller|less|lesser|largest|biggest|"
    r"greatest|smallest|least|higher|lower|more)(?: number| fraction| value| one)?[:,]? ?(?:of |"
    r"between |among )?(.+)$",
    re.IGNORECASE,
)
_IS_MORE = re.compile(
    r"^(?:is|are|if|whether) (.+?) (?:is )?(larger|bigger|greater|smaller|less|more|higher|lower) than (.+)$", re.IGNORECASE
)
_PICK = re.compile(r"^(?:.*\b)?pick the (largest|smallest) number of the following candidates: (.+)$", re.IGNORECASE)


def compare(text: str, rounding: Rounding) -> str | None:
    """Which is larger, 3/4 or 2/3? Is 0.5 less than 2/5?"""
    if match := _PICK.match(text) or _COMPARE.match(text):
        pieces = match[2].split() if match.re is _PICK else re.split(r",? or |, (?!\d{3}\b)| and ", match[2])
        values = [_value(piece) for piece in pieces]
        if len(values) < 2:
            return None
        small = match[1].lower() in ("smaller", "less", "lesser", "smallest", "least", "lower")
        if len(set(values)) == 1:
            return "They are equal."
        best = (min if small else max)(range(len(values)), key=lambda number: values[number])
        return f"{pieces[best].strip()} is {match[1].lower()}."
    if match := _IS_MORE.match(text):
        left, right = _value(match[1]), _value(match[3])
        small = match[2].lower() in ("smaller", "less", "lower")
        yes = left < right if small else left > right
        return (
            f"{'Yes' if yes else 'No'}, {match[1].strip()} {'<' if left < right else '=' if left == right else '>'}"
            f" {match[3].strip()}."
        )
    return None


def _value(text: str) -> float:

    expression = to_sympy(parse(to_notation(text)))
    if not expression.is_number or not expression.is_real:
        raise FormulaError("no number")
    return float(expression)


_ROUND = re.compile(rf"^(?:round(?: off| up| down)?|what is|what's) (?:the number )?{NUMBER}(?: rounded)?$", re.IGNORECASE)


def rounded(text: str, rounding: Rounding) -> str | None:
    """Round 3.14159 to two decimal places."""
    match = _ROUND.match(words_to_digits(text))
    if match is None or (rounding.decimals is None and rounding.significant is None):
        return None
    if rounding.decimals is not None and rounding.decimals < 0:
        quantum = Decimal(1).scaleb(-rounding.decimals)
        value = (Decimal(match[1].replace(",", "")) / quantum).to_integral_value(rounding="ROUND_HALF_UP") * quantum
        return f"It is {value:f}."
    return f"It is {rounding.apply(Decimal(match[1].replace(',', '')))}."
