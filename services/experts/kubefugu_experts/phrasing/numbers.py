"""Numbers as people write them: 1,000; 2.5e3; 1 1/2; minus three; two and a half million; a dozen."""

from __future__ import annotations

import re
from fractions import Fraction

_UNITS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18,
    "nineteen": 19,
}  # fmt: skip
_TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fourty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
_SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PARTS = {
    "half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "fourth": 4, "fourths": 4, "fifth": 5,
    "fifths": 5, "sixth": 6, "sixths": 6, "eighth": 8, "eighths": 8, "tenth": 10, "tenths": 10,
}  # fmt: skip
_GLYPHS = {
    "½": "1/2",
    "⅓": "1/3",
    "⅔": "2/3",
    "¼": "1/4",
    "¾": "3/4",
    "⅕": "1/5",
    "⅛": "1/8",
    "⅜": "3/8",
    "⅝": "5/8",
    "⅞": "7/8",
}

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d{1,3})?"
_FRACTION = r"(?:\d+[ -])?\d+ ?/ ?\d+"
_WORD = "|".join(sorted([*_UNITS, *_TENS, *_SCALES, "dozen"], key=len, reverse=True))
_PART = "|".join(sorted(_PARTS, key=len, reverse=True))
_WORDS = rf"(?:(?:an? )?(?:{_WORD})(?:(?: and |[ -])(?:{_WORD}))*)"
_WITH_SCALE = rf"{_DIGITS} (?:hundred|thousand|million|billion|trillion|dozen)"
NUMBER = (
    rf"(?:(?:minus |negative |- ?|\+)?(?:{_WITH_SCALE}|{_FRACTION}|{_DIGITS}(?: and a (?:half|quarter))?"
    rf"|{_WORDS} and (?:an? |{_WORDS} )(?:{_PART})|{_WORDS}[ -](?:{_PART})|(?:an? )?(?:{_PART})|{_WORDS}))"
)
"""Pattern of a number, without capturing groups; to be used with re.IGNORECASE."""

_SINGLE = re.compile(NUMBER, re.IGNORECASE)
_SEQUENCE = re.compile(rf"\b{_WORDS}\b", re.IGNORECASE)


def parse_number(text: str) -> Fraction | None:
    """The exact value of a number as people write it, or None."""
    text = " ".join(text.lower().split())
    for glyph, plain in _GLYPHS.items():
        text = re.sub(rf"(\d) ?{glyph}", rf"\1 {plain}", text).replace(glyph, plain)
    if not _SINGLE.fullmatch(text):
        return None
    sign = 1
    for minus in ("minus ", "negative ", "- ", "-"):
        if text.startswith(minus):
            sign, text = -1, text.removeprefix(minus)
            break
    value = _unsigned(text.removeprefix("+"))
    return None if value is None else sign * value


def words_to_digits(text: str) -> str:
    """Replace numbers in words by digits ("twenty-five" -> "25"); "one" and "a" alone stay."""

    def replace(match: re.Match[str]) -> str:
        words = match[0].lower()
        if words in ("one", "a", "an"):
            return match[0]
        value = _of_words(words)
        return match[0] if value is None else str(value)

    return _SEQUENCE.sub(replace, text)


def _unsigned(text: str) -> Fraction | None:
    if match := re.fullmatch(rf"({_DIGITS}) (hundred|thousand|million|billion|trillion|dozen)", text):
        return _decimal(match[1]) * (12 if match[2] == "dozen" else _SCALES[match[2]])
    if match := re.fullmatch(r"(?:(\d+)[ -])?(\d+) ?/ ?(\d+)", text):
        return None if int(match[3]) == 0 else int(match[1] or 0) + Fraction(int(match[2]), int(match[3]))
    if match := re.fullmatch(rf"({_DIGITS})(?: and a (half|quarter))?", text):
        return _decimal(match[1]) + (Fraction(1, _PARTS[match[2]]) if match[2] else 0)
    if match := re.fullmatch(rf"(.+) and (?:an? |(.+) )({_PART})", text):
        whole, count = _of_words(match[1]), _of_words(match[2]) if match[2] else 1
        return None if whole is None or count is None else whole + Fraction(count, _PARTS[match[3]])
    if match := re.fullmatch(rf"(?:an? )?({_PART})", text):
        return Fraction(1, _PARTS[match[1]])
    if match := re.fullmatch(rf"(.+)[ -]({_PART})", text):
        count = _of_words(match[1])
        return None if count is None else Fraction(count, _PARTS[match[2]])
    whole = _of_words(text)
    return None if whole is None else Fraction(whole)


def _decimal(text: str) -> Fraction:
    return Fraction(text.replace(",", ""))


def _of_words(text: str) -> int | None:
    """An integer in words ("a hundred and twenty-five", "two dozen"), or None."""
    words = [word for word in re.split(r"[ -]+", text) if word not in ("and", "a", "an")]
    total = current = 0
    seen_unit = False
    for word in words:
        if word in _UNITS:
            if seen_unit:
                return None
            current += _UNITS[word]
            seen_unit = True
        elif word in _TENS:
            current += _TENS[word]
        elif word == "hundred":
            current = (current or 1) * 100
            seen_unit = False
        elif word == "dozen":
            current = (current or 1) * 12
        elif word in _SCALES:
            total += (current or 1) * _SCALES[word]
            current, seen_unit = 0, False
        else:
            return None
    return total + current if words else None
