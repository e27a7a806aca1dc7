"""Reads a question into a skeleton: dates, times, spans, weekdays, months and years become capital placeholders, in order."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

from dateutil.easter import easter

from kubefugu_experts.engines.dates.spans import SPAN, Span, parse_span
from kubefugu_experts.engines.dates.words import (
    DAY_WORD,
    MONTH,
    ORDINAL,
    WEEKDAY,
    WEEKDAY_OR_SHORT,
    day_number,
    month_number,
    ordinal_number,
    weekday_number,
)


@dataclass(frozen=True, slots=True)
class Day:
    """A date as written: the year may be missing, and the date may not exist (February 30)."""

    year: int | None
    month: int
    day: int
    at: time | None = None
    today: bool = False
    """True: relative to the clock."""
    ambiguous: bool = False
    """True: 03/04/2021, read as month/day."""

    def in_year(self, year: int) -> date:
        """The date, in its own year or else in `year`. Raises ValueError where it does not exist."""
        day = date(self.year or year, self.month, self.day)
        return day if self.at is None else datetime.combine(day, self.at)


@dataclass(slots=True)
class Reading:
    """A question with everything of the calendar taken out."""

    skeleton: str = ""
    days: list[Day] = field(default_factory=list)
    times: list[time] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    ordinals: list[int] = field(default_factory=list)
    weekdays: list[int] = field(default_factory=list)
    months: list[tuple[int | None, int]] = field(default_factory=list)
    """(year or None, month)"""
    years: list[int] = field(default_factory=list)


_DAY = rf"(?:the )?(?:\d{{1,2}}(?:st|nd|rd|th)?|{DAY_WORD})"
_YEAR = r"(?:\d{4}|'\d{2})"
_OF_WEEKDAY = rf"(?:{WEEKDAY_OR_SHORT},? (?:the )?)?"
_AT_WEEKDAY = rf"(?: ?\({WEEKDAY_OR_SHORT}\))?"
_CLOCK = (
    r"(?:\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?: ?(?:am|pm|a\.m\.?|p\.m\.?)\b)?|\d{1,2} ?(?:am|pm|a\.m\.?|p\.m\.?)(?=\W|$)"
    r"|\d{1,2} o'?clock(?: in the (?:morning|afternoon|evening))?|noon|midday|midnight)"
)
_AT = rf"(?:,?(?: at)? (?P<at>{_CLOCK}))?"
_HOLIDAYS: dict[str, Callable[[int], date]] = {
    r"christmas(?: day)?": lambda year: date(year, 12, 25),
    r"christmas eve": lambda year: date(year, 12, 24),
    r"new year'?s? eve": lambda year: date(year, 12, 31),
    r"new year'?s?(?: day)?": lambda year: date(year, 1, 1),
    r"hallowe'?en": lambda year: date(year, 10, 31),
    r"(?:st\.? )?valentine'?s? day": lambda year: date(year, 2, 14),
    r"(?:us |american )?independence day": lambda year: date(year, 7, 4),
    r"bastille day": lambda year: date(year, 7, 14),
    r"boxing day": lambda year: date(year, 12, 26),
    r"(?:st\.?|saint) patrick'?s day": lambda year: date(year, 3, 17),
    r"april fools'? day": lambda year: date(year, 4, 1),
    r"easter(?: sunday)?": easter,
    r"easter monday": lambda year: easter(year) + timedelta(days=1),
    r"good friday": lambda year: easter(year) - timedelta(days=2),
    r"thanksgiving(?: day)?": lambda year: nth_weekday(year, 11, 3, 4),
    r"labou?r day": lambda year: nth_weekday(year, 9, 0, 1),
    r"memorial day": lambda year: nth_weekday(year, 5, 0, -1),
}


def nth_weekday(year: int, month: int, weekday: int, number: int) -> date:
    """The number-th (or last: -1) weekday of a month. Raises ValueError where there is none."""
    if number > 0:
        first = date(year, month, 1)
        return date(year, month, 1 + (weekday - first.weekday()) % 7 + 7 * (number - 1))
    last = date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
    return last - timedelta(days=(last.weekday() - weekday) % 7)


def _holiday(reading: Reading, match: re.Match[str]) -> str:
    name, year = match["holiday"], match["year"]
    for pattern, rule in _HOLIDAYS.items():
        if re.fullmatch(pattern, name):
            if year is None and rule(2023) != date(2023, rule(2024).month, rule(2024).day):
                return match[0]  # a movable feast needs a year
            found = rule(int(year) if year else 2023)
            reading.days.append(Day(int(year) if year else None, found.month, found.day))
            return " DATE "
    return match[0]


def _written(reading: Reading, match: re.Match[str]) -> str:
    groups = match.groupdict()
    year = groups["year"]
    day = day_number(groups["day"].removeprefix("the "))
    number = None if not year else int(year) if year.isdigit() else _two_digits(year[1:])
    reading.days.append(Day(number, month_number(groups["month"]), day, _time_of(groups.get("at"))))
    return " DATE "


def _numeric(reading: Reading, match: re.Match[str]) -> str:
    groups = match.groupdict()
    first, second, third = int(groups["a"]), int(groups["b"]), groups["c"]
    at = _time_of(groups.get("at"))
    if len(groups["a"]) == 4:
        reading.days.append(Day(first, second, int(third), at))
        return " DATE "
    year = int(third) if len(third) == 4 else _two_digits(third)
    european = groups["sep"] == "." or first > 12
    month, day = (second, first) if european else (first, second)
    ambiguous = not european and second <= 12 and first != second
    reading.days.append(Day(year, month, day, at, ambiguous=ambiguous))
    return " DATE "


def _two_digits(text: str) -> int:
    return 2000 + int(text) if int(text) < 50 else 1900 + int(text)


def _time_of(text: str | None) -> time | None:
    """Read a clock time; None where there is none or it does not exist (25:00)."""
    if not text:
        return None
    text = text.lower()
    if text in ("noon", "midday"):
        return time(12)
    if text == "midnight":
        return time(0)
    match = re.match(r"(\d{1,2})(?::(\d{2}))?(?::(\d{2})(?:\.(\d+))?)? ?(a|p)?", text)
    if match is None:
        return None
    hour, minute, second = int(match[1]), int(match[2] or 0), int(match[3] or 0)
    half = match[5] or ("p" if "afternoon" in text or "evening" in text else None)
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half == "p" else 0)
    try:
        return time(hour, minute, second, int((match[4] or "0").ljust(6, "0")))
    except ValueError:
        return None


def _clock(reading: Reading, match: re.Match[str]) -> str:
    found = _time_of(match[0].strip())
    if found is None:
        return match[0]
    reading.times.append(found)
    return " TIME "


def _relative(now: datetime) -> Callable[[Reading, re.Match[str]], str]:
    offsets = {
        "today": 0,
        "now": 0,
        "tomorrow": 1,
        "yesterday": -1,
        "the day after tomorrow": 2,
        "the day before yesterday": -2,
    }

    def replace(reading: Reading, match: re.Match[str]) -> str:
        day = now.date() + timedelta(days=offsets[match["word"]])
        reading.days.append(Day(day.year, day.month, day.day, today=True))
        return " DATE "

    return replace


def _span(reading: Reading, match: re.Match[str]) -> str:
    found = parse_span(match[0])
    if found is None:
        return match[0]
    reading.spans.append(found)
    return " SPAN "


def _nth(reading: Reading, match: re.Match[str]) -> str:
    reading.ordinals.append(ordinal_number(match["nth"]))
    return " ORDINAL " + match["rest"]


def _weekday(reading: Reading, match: re.Match[str]) -> str:
    reading.weekdays.append(weekday_number(match["weekday"]))
    return " WEEKDAY "


def _month(reading: Reading, match: re.Match[str]) -> str:
    year = match.groupdict().get("year")
    reading.months.append((int(year) if year else None, month_number(match["month"])))
    return " MONTH "


def _year(reading: Reading, match: re.Match[str]) -> str:
    reading.years.append(int(match["year"] or match["short"]))
    return " YEAR "


_MAY = "|".join(rf"(?<={word} )may\b" for word in ("in", "of", "after", "before", "does", "is"))
"""May is a month only behind one of these words, else a verb."""
_HOLIDAY = "|".join(f"(?:{pattern})" for pattern in sorted(_HOLIDAYS, key=len, reverse=True))
_STEPS: tuple[tuple[re.Pattern[str], Callable[[Reading, re.Match[str]], str]], ...] = (
    (re.compile(rf"\b(?P<holiday>{_HOLIDAY})\b(?:,? (?:of |in )?(?:the year )?(?P<year>\d{{4}}))?"), _holiday),
    (
        re.compile(rf"\b{_OF_WEEKDAY}(?P<a>\d{{4}})(?P<sep>[-/.])(?P<b>\d{{1,2}})(?P=sep)(?P<c>\d{{1,2}})\b{_AT_WEEKDAY}(?:t(?=\d))?{_AT}"),
        _numeric,
    ),
    (
        re.compile(
            rf"(?<![\d.]){_OF_WEEKDAY}(?P<a>\d{{1,2}})(?P<sep>[-/.])(?P<b>\d{{1,2}})(?P=sep)(?P<c>\d{{4}}|\d{{2}})\b(?![.\d]){_AT_WEEKDAY}{_AT}"
        ),
        _numeric,
    ),
    (
        re.compile(
            rf"\b{_OF_WEEKDAY}(?P<month>{MONTH}) (?P<day>{_DAY})\b(?:(?:,|,? in|"
                rf",? of)? ?(?:the year )?(?P<year>{_YEAR}))?\b(?! ?:){_AT_WEEKDAY}{_AT}"
        ),
        _written,
    ),
    (
        re.compile(
            rf"\b{_OF_WEEKDAY}(?P<day>{_DAY})(?: day)?(?: of|-|,)? ?(?P<month>{MONTH})(?:(?:,|"
                rf",? in|-| of)? ?(?:the year )?(?P<year>{_YEAR}))?\b{_AT_WEEKDAY}{_AT}"
        ),
        _written,
    ),
    (re.compile(rf"\b{_CLOCK}"), _clock),
    (re.compile(rf"\b{SPAN}"), _span),
    (re.compile(rf"\b(?P<month>{MONTH})(?:,? (?:of |in )?(?:the year )?(?P<year>\d{{4}}))\b"), _month),
    (re.compile(rf"\b(?P<nth>{ORDINAL}) (?P<rest>{WEEKDAY}|month|day\b)"), _nth),
    (re.compile(rf"\b(?P<weekday>{WEEKDAY}s?)\b"), _weekday),
    (re.compile(rf"\b(?P<month>(?!may\b){MONTH}|{_MAY})"), _month),
    (re.compile(r"\b(?:the )?(?:year )?(?P<year>[1-9]\d{3})(?: ?(?:ad|ce))?\b|\b(?:the )?year (?P<short>\d{1,3})\b"), _year),
)  # fmt: skip


def read(text: str, now: datetime) -> Reading:
    """Take everything of the calendar out of a lower-case text."""
    reading = Reading()
    relative = re.compile(r"\b(?P<word>the day after tomorrow|the day before yesterday|today|tomorrow|yesterday|now)(?:'s)?\b")
    for pattern, replace in ((relative, _relative(now)), *_STEPS):
        text = _numbered(reading, pattern, replace, text)
    _sort(reading, text)
    text = re.sub(r"\b([A-Z]+)\d+\b", r"\1", text)
    reading.skeleton = " ".join(re.sub(r"[?!.,;:()\"]", " ", text).split())
    return reading


_LISTS = {
    "DATE": "days",
    "TIME": "times",
    "SPAN": "spans",
    "ORDINAL": "ordinals",
    "WEEKDAY": "weekdays",
    "MONTH": "months",
    "YEAR": "years",
}


def _numbered(reading: Reading, pattern: re.Pattern[str], replace: Callable[[Reading, re.Match[str]], str], text: str) -> str:
    """Replace all matches; placeholders get their position in the reading's list, for `_sort`."""

    def numbered(match: re.Match[str]) -> str:
        placed = replace(reading, match)
        kind = placed.split()[0] if placed.split() else ""
        if kind not in _LISTS:
            return placed
        return placed.replace(kind, f"{kind}{len(getattr(reading, _LISTS[kind])) - 1}", 1)

    return pattern.sub(numbered, text)


def _sort(reading: Reading, text: str) -> None:
    """Bring the lists into the order of the text: the patterns found their matches one kind after the other."""
    for kind, name in _LISTS.items():
        values = getattr(reading, name)
        setattr(reading, name, [values[int(number)] for number in re.findall(rf"\b{kind}(\d+)\b", text)])
