"""The dates that a question names, and in which direction it counts."""

from __future__ import annotations

import re
from datetime import date

from kubefugu_experts.engines.dates.reading import Day, Reading
from kubefugu_experts.engines.dates.telling import tell_date
from kubefugu_experts.engines.dates.words import MONTHS

COMMON_YEAR = 2023
"""Stands for "a year that is not a leap year" where the question names none."""


class NotADateError(Exception):
    """The question holds a date that does not exist; the message says so."""


def date_of(day: Day, *, year: int = COMMON_YEAR) -> date:
    """The date, in `year` where it names none. Raises NotADateError."""
    try:
        return day.in_year(year)
    except ValueError as error:
        month = MONTHS[day.month - 1].capitalize() if 1 <= day.month <= 12 else None
        written = f"{month} {day.day}" if month else f"{day.month}/{day.day}"
        raise NotADateError(f"There is no {written}{f', {day.year}' if day.year else ''}: that date does not exist.") from error


def name_of(day: Day, found: date) -> str:
    """The date as an answer names it: without a year where the question has none."""
    if day.year is None:
        return f"{MONTHS[found.month - 1].capitalize()} {found.day}"
    return tell_date(found) + (" (month/day/year)" if day.ambiguous else "")


def dates_of(reading: Reading) -> list[date]:
    """All dates; those without a year take the others'."""
    years = [day.year for day in reading.days if day.year] + reading.years
    return [date_of(day, year=years[0] if years else COMMON_YEAR) for day in reading.days]


def sign_of(skeleton: str) -> int:
    """1 for later, -1 for earlier."""
    back = re.search(
        r"\b(?:before|earlier|ago|minus|subtract\w*|prior|preced\w*|previous|back|backwards?)\b|SPAN -|DATE - SPAN", skeleton
    )
    return -1 if back else 1
