"""Wishes about the precision of a result: "to two decimal places", "to 3 significant figures", "to the nearest tenth"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

_COUNTS = {"zero": 0, "no": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "a": 1}
_PLACES = {"tenth": 1, "hundredth": 2, "thousandth": 3, "ten": -1, "hundred": -2, "thousand": -3}
_COUNT = r"(\d{1,2}|zero|no|one|two|three|four|five|six|a)"
_LEAD = (
    r"[\s,;.(]*\b(?:(?:and |please |then )*(?:round(?:ed|ing)?|correct|accurate|exact|give|"
    r"express|keep|report|answer|expressed)"
    r"(?: (?:it|off|your answer|the answer|the result|answer|result|down|all (?:decimal )?values))*)?"
)
_DECIMALS = re.compile(
    rf"{_LEAD} *(?:to|with|at|using|up to)(?: a maximum of)? {_COUNT} (?:decimal places?|decimals?|places? after the decimal"
    rf"(?: point)?|digits? after the (?:decimal )?(?:point|comma)|d\.?p\.?)[).]*",
    re.IGNORECASE,
)
_SIGNIFICANT = re.compile(
    rf"{_LEAD} *(?:to|with|at|using|up to)(?: a maximum of)? {_COUNT} (?:significant (?:figures?|"
    rf"digits?)|sig\.? ?figs?\.?|s\.?f\.?)[).]*",
    re.IGNORECASE,
)
_NEAREST = re.compile(
    rf"{_LEAD} *(?:to )?the (?:nearest|closest) (integer|whole(?: number)?|number|one|unit|cent|"
    rf"tenth|hundredth|thousandth|ten|hundred|thousand)"
    r"(?: of an? \w+)?[).]*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Rounding:
    """Digits after the point, or significant digits; at most one of both."""

    decimals: int | None = None
    significant: int | None = None

    def apply(self, value: Decimal) -> str | None:
        """The rounded value, half up, with all digits asked for; None without a wish."""
        if self.decimals is not None:
            quantum = Decimal(1).scaleb(-self.decimals)
            rounded = value.quantize(quantum, rounding=ROUND_HALF_UP)
            return f"{rounded:f}" if self.decimals > 0 else f"{rounded:.0f}"
        if self.significant is not None:
            if value == 0:
                return "0"
            quantum = Decimal(1).scaleb(value.adjusted() - self.significant + 1)
            return f"{value.quantize(quantum, rounding=ROUND_HALF_UP):f}".removesuffix(".")
        return None


def take_rounding(text: str) -> tuple[str, Rounding]:
    """The text without the wish, and the wish."""
    if match := _DECIMALS.search(text):
        return _cut(text, match), Rounding(decimals=_count(match[1]))
    if match := _SIGNIFICANT.search(text):
        return _cut(text, match), Rounding(significant=_count(match[1]) or 1)
    if match := _NEAREST.search(text):
        word = match[1].lower()
        return _cut(text, match), Rounding(decimals=2 if word == "cent" else _PLACES.get(word, 0))
    return text, Rounding()


def _count(word: str) -> int:
    return int(word) if word.isdigit() else _COUNTS[word.lower()]


def _cut(text: str, match: re.Match[str]) -> str:
    return f"{text[: match.start()]} {text[match.end() :]}".strip(" ,;")
