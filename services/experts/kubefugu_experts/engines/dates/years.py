"""Answers about months and years: reading and clock in, a sentence or None out."""

from __future__ import annotations

import calendar
import re
from datetime import date, datetime

from kubefugu_experts.engines.dates.dating import COMMON_YEAR, sign_of
from kubefugu_experts.engines.dates.reading import Reading, nth_weekday
from kubefugu_experts.engines.dates.spans import Span
from kubefugu_experts.engines.dates.telling import count, join, tell_date, tell_weekday
from kubefugu_experts.engines.dates.words import MONTHS


def month_shift(reading: Reading, now: datetime) -> str | None:
    """Which month is 5 months after October?"""
    (_, month), span = reading.months[0], reading.spans[0] if reading.spans else Span(months=1)
    words = reading.skeleton
    if (
        not span.months
        or span.seconds
        or not re.search(r"after|follow|next|later|from|before|preced|previous|prior|earlier", words)
    ):
        return None
    number = (month - 1 + sign_of(words) * span.months) % 12
    return f"It is {MONTHS[number].capitalize()}."


def nth_month(reading: Reading, now: datetime) -> str | None:
    """What is the seventh month of the year?"""
    number = reading.ordinals[0]
    if not re.search(r"month (?:of|in) (?:the|a) year|calendar", reading.skeleton) or not (1 <= number <= 12 or number == -1):
        return None
    return f"It is {MONTHS[number - 1 if number > 0 else 11].capitalize()}."


def nth_weekday_date(reading: Reading, now: datetime) -> str | None:
    """When is the third Friday of March 2024?"""
    year, month = reading.months[0]
    year = year or (reading.years[0] if reading.years else None)
    if year is None:
        return None
    number, name = reading.ordinals[0], tell_weekday(reading.weekdays[0])
    where = f"{MONTHS[month - 1].capitalize()} {year}"
    try:
        found = nth_weekday(year, month, reading.weekdays[0], number)
    except ValueError:
        return f"{where} has no {_ordinal(number)} {name}."
    return f"The {_ordinal(number)} {name} of {where} is {tell_date(found)}."


def _ordinal(number: int) -> str:
    if number < 0:
        return "last"
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number not in (11, 12, 13) else 0, "th")
    return f"{number}{suffix}"


def weekdays_in_month(reading: Reading, now: datetime) -> str | None:
    """How many Mondays are there in March 2024 (or in 2024)?"""
    year = next((year for year, _ in reading.months if year), None) or (reading.years[0] if reading.years else None)
    if year is None:
        return None
    months = [month for _, month in reading.months] or list(range(1, 13))
    number = sum(
        1
        for month in months
        for day in range(1, calendar.monthrange(year, month)[1] + 1)
        if date(year, month, day).weekday() == reading.weekdays[0]
    )
    where = f"{MONTHS[months[0] - 1].capitalize()} {year}" if reading.months else str(year)
    return f"There are {count(number, tell_weekday(reading.weekdays[0]))} in {where}."


def days_in_month(reading: Reading, now: datetime) -> str | None:
    """How many days does February 2024 have? What is its last day?"""
    if reading.ordinals not in ([], [-1]):
        return None
    year, month = reading.months[0]
    year = year or (reading.years[0] if reading.years else None)
    name = MONTHS[month - 1].capitalize()
    if re.search(r"leap year", reading.skeleton):
        year, where = 2024, f"{name} in a {'non-leap' if 'not' in reading.skeleton else 'leap'} year"
        year = 2023 if "not" in reading.skeleton else 2024
    else:
        where = f"{name} {year}" if year else name
    days = calendar.monthrange(year or COMMON_YEAR, month)[1]
    if reading.ordinals == [-1] or re.search(r"last (?:day|date)|end of", reading.skeleton):
        return f"The last day of {where} is {name} {days}{f', {year}' if year else ''}."
    if year is None and month == 2:
        return "February has 28 days, and 29 days in a leap year."
    return f"{where} has {days} days."


def month_has_days(reading: Reading, now: datetime) -> str | None:
    """Does February 1944 have 29 days?"""
    days, (year, month) = reading.spans[0].whole_days, reading.months[0]
    year = year or (reading.years[0] if reading.years else None)
    if days is None or (year is None and month == 2):
        return None
    real = calendar.monthrange(year or COMMON_YEAR, month)[1]
    return f"{'Yes' if real == days else 'No'}, {MONTHS[month - 1].capitalize()}{f' {year}' if year else ''} has {real} days."


def leap(reading: Reading, now: datetime) -> str | None:
    """Is 1900 a leap year?"""
    sentences = []
    for year in reading.years:
        yes = calendar.isleap(year)
        reason = _leap_reason(year)
        sentences.append(f"{'Yes' if yes else 'No'}, {year} is {'a' if yes else 'not a'} leap year ({reason}).")
    if len(sentences) > 1:
        leaps = [str(year) for year in reading.years if calendar.isleap(year)]
        return f"Leap years among them: {join(leaps) or 'none'}."
    return sentences[0]


def _leap_reason(year: int) -> str:
    if year % 4:
        return "not divisible by 4"
    if year % 100:
        return "divisible by 4"
    return "divisible by 400" if year % 400 == 0 else "divisible by 100 but not by 400"


def days_in_kind_of_year(reading: Reading, now: datetime) -> str | None:
    """How many days does a leap year have?"""
    leap_year = re.search(r"(?<!non )(?<!not a )leap year", reading.skeleton)
    return f"A {'leap' if leap_year else 'common'} year has {366 if leap_year else 365} days."


def next_leap_from_now(reading: Reading, now: datetime) -> str | None:
    """When is the next leap year?"""
    step = 1 if "next" in reading.skeleton else -1
    year = now.year + step
    while not calendar.isleap(year):
        year += step
    return f"Counted from {now.year}, it is {year}."


def has_days(reading: Reading, now: datetime) -> str | None:
    """Does 1717 have 366 days?"""
    days = reading.spans[0].whole_days
    if days not in (365, 366) or re.search(r"how|what|which", reading.skeleton):
        return None
    real = 366 if calendar.isleap(reading.years[0]) else 365
    return f"{'Yes' if real == days else 'No'}, {reading.years[0]} has {real} days."


def leap_next(reading: Reading, now: datetime) -> str | None:
    """Which is the next leap year after 2021?"""
    step = -1 if re.search(r"previous|prior|preceding|before|last", reading.skeleton) else 1
    year = reading.years[0] + step
    while not calendar.isleap(year):
        year += step
    return (
        f"The {'next' if step > 0 else 'previous'} leap year {'after' if step > 0 else 'before'} {reading.years[0]} is {year}."
    )


def leap_between(reading: Reading, now: datetime) -> str | None:
    """How many leap years are there between 2000 and 2024 (both counted)?"""
    first, second = sorted(reading.years)
    if second - first > 10_000:
        return None
    years = [year for year in range(first, second + 1) if calendar.isleap(year)]
    if re.search(r"list|which|what are|name", reading.skeleton) and len(years) <= 60:
        return f"The leap years from {first} to {second}: {join([str(year) for year in years]) or 'none'}."
    return f"There are {count(len(years), 'leap year')} (both years counted)."


def leap_day(reading: Reading, now: datetime) -> str | None:
    """Is a date in a leap year?"""
    day = reading.days[0]
    if day.year is None:
        return None
    return (
        f"{'Yes' if calendar.isleap(day.year) else 'No'}, "
        f"{day.year} is {'a' if calendar.isleap(day.year) else 'not a'} leap year."
    )


def days_in_year(reading: Reading, now: datetime) -> str | None:
    """How many days (ISO weeks) does 2024 have?"""
    (year,) = reading.years
    if re.search(r"\bweeks\b", reading.skeleton):
        return f"{year} has {date(year, 12, 28).isocalendar().week} ISO weeks."
    return f"{year} has {366 if calendar.isleap(year) else 365} days."


def years_between(reading: Reading, now: datetime) -> str | None:
    """How many years are between 1914 and 1939?"""
    first, second = reading.years
    return f"There are {count(abs(second - first), 'year')}."


def century(reading: Reading, now: datetime) -> str | None:
    """Which century is 1776 in?"""
    year = reading.years[0] if reading.years else reading.days[0].year if reading.days else None
    if year is None or "century" not in reading.skeleton:
        return None
    return f"{year} is in the {_ordinal((year - 1) // 100 + 1)} century."


def quarter(reading: Reading, now: datetime) -> str | None:
    """Which quarter of the year is August in?"""
    if not reading.days and not reading.months:
        return None
    month = reading.days[0].month if reading.days else reading.months[0][1]
    return f"It is in quarter {(month - 1) // 3 + 1} of the year (Q{(month - 1) // 3 + 1})."
