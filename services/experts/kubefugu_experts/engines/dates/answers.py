"""How each kind of calendar question is answered: reading and clock in, a sentence or None out."""

from __future__ import annotations

import calendar
import re
from datetime import date, datetime, timedelta

from dateutil.relativedelta import relativedelta

from kubefugu_experts.engines.dates.reading import Day, Reading, nth_weekday
from kubefugu_experts.engines.dates.spans import Span
from kubefugu_experts.engines.dates.telling import (
    count,
    join,
    tell_date,
    tell_duration,
    tell_time,
    tell_weekday,
)
from kubefugu_experts.engines.dates.words import MONTHS

_COMMON_YEAR = 2023
"""Stands for "a year that is not a leap year" where the question names none."""


class NotADateError(Exception):
    """The question holds a date that does not exist; the message says so."""


def _date(day: Day, *, year: int = _COMMON_YEAR) -> date:
    try:
        return day.in_year(year)
    except ValueError as error:
        month = MONTHS[day.month - 1].capitalize() if 1 <= day.month <= 12 else None
        written = f"{month} {day.day}" if month else f"{day.month}/{day.day}"
        raise NotADateError(f"There is no {written}{f', {day.year}' if day.year else ''}: that date does not exist.") from error


def _name(day: Day, found: date) -> str:
    """The date as an answer names it: without a year where the question has none."""
    if day.year is None:
        return f"{MONTHS[found.month - 1].capitalize()} {found.day}"
    return tell_date(found) + (" (month/day/year)" if day.ambiguous else "")


def _dates(reading: Reading) -> list[date]:
    """All dates; those without a year take the others'."""
    years = [day.year for day in reading.days if day.year] + reading.years
    return [_date(day, year=years[0] if years else _COMMON_YEAR) for day in reading.days]


def weekday(reading: Reading, now: datetime) -> str | None:
    """What day of the week was July 4, 1776?"""
    (day,) = reading.days
    if day.year is None and not reading.years:
        return None
    found = _date(day, year=reading.years[0] if reading.years else _COMMON_YEAR)
    verb = "is" if day.today else "was" if found.year < now.year else "is"
    return f"{tell_date(found)}{' (month/day/year)' if day.ambiguous else ''} {verb} a {tell_weekday(found)}."


def weekday_check(reading: Reading, now: datetime) -> str | None:
    """Was July 20, 1969 a Sunday?"""
    (day,) = reading.days
    if day.year is None:
        return None
    found = _date(day)
    yes = found.weekday() == reading.weekdays[0]
    return f"{'Yes' if yes else 'No'}, {_name(day, found)} is a {tell_weekday(found)}."


def anchored_weekday(reading: Reading, now: datetime) -> str | None:
    """In a year where Tuesday is January 1st, which weekday is February 20?"""
    first, second = (_date(day) for day in reading.days)
    number = (reading.weekdays[0] + (second - first).days) % 7
    return f"In that year {MONTHS[second.month - 1].capitalize()} {second.day} is a {tell_weekday(number)}."


def from_first_weekday(reading: Reading, now: datetime) -> str | None:
    """If the first day of the year was a Thursday, what day of the week is March 13?"""
    (day,) = reading.days
    found = _date(day)
    number = (reading.weekdays[0] + found.timetuple().tm_yday - 1) % 7
    return f"It is a {tell_weekday(number)}{'' if day.year else ' (in a common year)'}."


def occurrences(reading: Reading, now: datetime) -> str | None:
    """How many Wednesdays are there between two dates (both counted)?"""
    first, second = sorted(_dates(reading))
    wanted = reading.weekdays[-1]
    start = first + timedelta(days=(wanted - first.weekday()) % 7)
    number = (second - start).days // 7 + 1 if start <= second else 0
    name = tell_weekday(wanted)
    return f"There are {count(number, name)} (both dates counted)."


def between(reading: Reading, now: datetime) -> str | None:
    """How many days (weeks, months, years) are between two dates?"""
    first, second = _dates(reading)
    if isinstance(first, datetime) or isinstance(second, datetime):
        return _between_moments(first, second)
    early, late = min(first, second), max(first, second)
    if early == late:
        return "Both dates are the same: the difference is 0 days."
    days = (late - early).days
    words = reading.skeleton
    if re.search(r"business|working|work days|\bweekdays\b", words):
        number = (
            sum(1 for offset in range(days + 1) if (early + timedelta(days=offset)).weekday() < 5) if days < 400_000 else None
        )
        return None if number is None else f"There are {count(number, 'business day')} (both counted, holidays not considered)."
    if re.search(r"\binclusiv|counting both|both (?:dates|days)|including", words):
        return f"There are {count(days + 1, 'day')} when both are counted."
    gap = relativedelta(late, early)
    if re.search(r"\bhours\b", words):
        return f"There are {count(days * 24, 'hour')}."
    if re.search(r"\bminutes\b", words):
        return f"There are {count(days * 1440, 'minute')}."
    if re.search(r"\bseconds\b", words):
        return f"There are {count(days * 86400, 'second')}."
    if re.search(r"\bweeks\b", words):
        weeks, rest = divmod(days, 7)
        parts = [count(weeks, "week"), *([count(rest, "day")] if rest else [])]
        return f"There are {join(parts)}."
    if re.search(r"\bmonths\b", words):
        months = gap.years * 12 + gap.months
        parts = [count(months, "month"), *([count(gap.days, "day")] if gap.days else [])]
        return f"There are {join(parts)}."
    if re.search(r"\byears\b|\bhow old\b", words) and not re.search(r"\bdays\b", words):
        return f"There are {count(gap.years, 'full year')}."
    return f"There are {count(days, 'day')}."


def _between_moments(first: date, second: date) -> str:
    moments = [
        moment if isinstance(moment, datetime) else datetime(moment.year, moment.month, moment.day)
        for moment in (first, second)
    ]
    return f"The time between them is {tell_duration(abs(moments[1] - moments[0]))}."


def earlier(reading: Reading, now: datetime) -> str | None:
    """Which is earlier, or: is the first before the second?"""
    first, second = _dates(reading)
    names = [_name(day, found) for day, found in zip(reading.days, (first, second), strict=True)]
    if first == second:
        return "Both dates are the same."
    words = reading.skeleton
    if check := re.search(r"(?:is|was|does|did|do) DATE .*?(before|after|earlier|later)", words):
        if re.search(r"\bwhich|\bwhat", words):
            return None
        yes = (first < second) == (check[1] in ("before", "earlier"))
        return f"{'Yes' if yes else 'No'}, {names[0]} is {'earlier' if first < second else 'later'} than {names[1]}."
    if re.search(r"later|latest|last|after", words):
        return f"{names[0] if first > second else names[1]} is later."
    if re.search(r"earlier|earliest|first|before|sooner", words):
        return f"{names[0] if first < second else names[1]} is earlier."
    return None


def age(reading: Reading, now: datetime) -> str | None:
    """How old is someone born on one date on another (or today)?"""
    born = _date(reading.days[0])
    if reading.days[0].year is None or (len(reading.days) == 1 and reading.years):
        return None
    if len(reading.days) == 1 and not re.search(r"\b(?:am i|now|are|is)\b|will i be", reading.skeleton):
        return None
    at = _date(reading.days[1], year=now.year) if len(reading.days) == 2 else now.date()
    early, late = min(born, at), max(born, at)
    gap = relativedelta(late, early)
    when = "today" if len(reading.days) == 1 or reading.days[1].today else f"on {tell_date(late)}"
    return f"The age {when} is {count(gap.years, 'year')}."


def _sign(skeleton: str, position: int = 0) -> int:
    """1 for later, -1 for earlier."""
    text = skeleton[position:]
    back = re.search(
        r"\b(?:before|earlier|ago|minus|subtract\w*|prior|preced\w*|previous|back|backwards?)\b|SPAN -|DATE - SPAN", text
    )
    return -1 if back else 1


def shift(reading: Reading, now: datetime) -> str | None:
    """What date is 45 days after March 3, 2021?"""
    (day,) = reading.days
    if re.search(r"how (?:many|much|long|old)", reading.skeleton):
        return None
    if day.year is None and reading.spans[0].whole_days is None and not reading.spans[0].months:
        return None
    start = _date(day)
    sign = _sign(reading.skeleton)
    found: date = start
    for span in reading.spans:
        found = span.add_to(found, sign)
    asked_weekday = re.search(r"day of the week|weekday", reading.skeleton)
    if day.year is None:
        return (
            None
            if asked_weekday
            else f"It is {MONTHS[found.month - 1].capitalize()} {found.day} (in a year that is not a leap year)."
        )
    return (
        f"It is a {tell_weekday(found)} ({tell_date(found)})." if asked_weekday else f"It is {tell_date(found, weekday=True)}."
    )


def shift_now(reading: Reading, now: datetime) -> str | None:
    """What will the date be in 30 days?"""
    found = reading.spans[0].add_to(now.date(), _sign(reading.skeleton))
    return f"Counted from today ({tell_date(now.date())}) it is {tell_date(found, weekday=True)}."


def weekday_shift(reading: Reading, now: datetime) -> str | None:
    """If today is Monday, what day will it be in 10 days?"""
    days = reading.spans[0].whole_days
    if days is None or re.search(r"how (?:many|much|long)", reading.skeleton):
        return None
    number = (reading.weekdays[0] + _sign(reading.skeleton) * days) % 7
    return f"It is a {tell_weekday(number)}."


def weekday_neighbour(reading: Reading, now: datetime) -> str | None:
    """Which day comes after Tuesday?"""
    words = reading.skeleton
    step = -1 if re.search(r"before|preced|previous|prior", words) else 1 if re.search(r"after|follow|next", words) else 0
    if not step or not re.search(r"\bday\b|what|which", words):
        return None
    start = tell_weekday(reading.weekdays[0])
    return f"The day {'after' if step > 0 else 'before'} {start} is {tell_weekday((reading.weekdays[0] + step) % 7)}."


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
    number = (month - 1 + _sign(words) * span.months) % 12
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
    days = calendar.monthrange(year or _COMMON_YEAR, month)[1]
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
    real = calendar.monthrange(year or _COMMON_YEAR, month)[1]
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


def days_until(reading: Reading, now: datetime) -> str | None:
    """How many days are left until Christmas 2026, from today?"""
    day = _date(reading.days[0], year=now.year)
    if reading.days[0].today:
        return None
    gap = ((day.date() if isinstance(day, datetime) else day) - now.date()).days
    if gap < 0:
        return None if reading.days[0].year else f"Counted from today, it was {count(-gap, 'day')} ago."
    return f"Counted from today, there are {count(gap, 'day')}."


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


def day_of_year(reading: Reading, now: datetime) -> str | None:
    """Which day of the year is March 1, 2024?"""
    (day,) = reading.days
    found = _date(day)
    note = "" if day.year else " (in a year that is not a leap year)"
    return f"{_name(day, found)} is day {found.timetuple().tm_yday} of the year{note}."


def days_left(reading: Reading, now: datetime) -> str | None:
    """How many days are left in the year after October 1, 2024?"""
    if "year" not in reading.skeleton and not reading.years:
        return None
    (day,) = reading.days
    found = _date(day, year=reading.years[0] if reading.years else _COMMON_YEAR)
    days = (date(found.year, 12, 31) - (found.date() if isinstance(found, datetime) else found)).days
    return f"There are {count(days, 'day')} left in the year."


def iso_week(reading: Reading, now: datetime) -> str | None:
    """Which ISO week is January 1, 2021 in?"""
    (day,) = reading.days
    if day.year is None:
        return None
    found = _date(day)
    year, week, _ = found.isocalendar()
    return f"{_name(day, found)} is in ISO week {week}{f' of {year}' if year != found.year else ''}."


def valid(reading: Reading, now: datetime) -> str | None:
    """Is February 29, 2023 a valid date?"""
    (day,) = reading.days
    found = _date(day, year=2024) if day.year is None else _date(day)
    return f"Yes, {_name(day, found)} is a valid date."


def iso_format(reading: Reading, now: datetime) -> str | None:
    """Write July 4, 1776 in ISO format."""
    (day,) = reading.days
    return None if day.year is None else f"It is {_date(day).isoformat()}."


def when_is(reading: Reading, now: datetime) -> str | None:
    """When is Easter 2025? (A date that the question names by its holiday.)"""
    (day,) = reading.days
    if day.year is None or re.search(r"today|now", reading.skeleton):
        return None
    return f"It is {tell_date(_date(day), weekday=True)}."


def clock_difference(reading: Reading, now: datetime) -> str | None:
    """How long is it from 9:15 to 14:40?"""
    first, second = (datetime.combine(date(2000, 1, 1), moment) for moment in reading.times)
    if second < first:
        second += timedelta(days=1)
    gap = second - first
    for unit, seconds in (("minute", 60), ("second", 1), ("hour", 3600)):
        if re.search(rf"how many {unit}s|number of {unit}s|in {unit}s", reading.skeleton):
            return f"It is {count(gap.total_seconds() / seconds, unit)}."
    return f"It is {tell_duration(gap)}."


def clock_shift(reading: Reading, now: datetime) -> str | None:
    """What time is it 3 hours after 10:30 am?"""
    span = reading.spans[0]
    if span.months or span.business_days or re.search(r"how (?:many|much|long)", reading.skeleton):
        return None
    start = datetime.combine(date(2000, 1, 3), reading.times[0])
    found = span.add_to(start, _sign(reading.skeleton))
    assert isinstance(found, datetime)
    days = (found.date() - start.date()).days
    note = "" if not days else f", {count(abs(days), 'day')} {'later' if days > 0 else 'earlier'}"
    return f"It is {tell_time(found.time())}{note}."


def now(reading: Reading, now: datetime) -> str | None:
    """What is today's date? What time is it?"""
    words = reading.skeleton
    if reading.days and not reading.days[0].today:
        return None
    offset = (_date(reading.days[0]) - now.date()).days if reading.days else 0
    if re.search(r"\btime\b", words) and not offset:
        return f"It is {now:%H:%M} ({now:%Z})."
    day = now.date() + timedelta(days=offset)
    word = {0: "Today", 1: "Tomorrow", -1: "Yesterday"}.get(offset, "That day")
    verb = "was" if offset < 0 else "is"
    if re.search(r"\byear\b", words):
        return f"The year is {day.year}."
    if re.search(r"\bmonth\b", words):
        return f"The month is {MONTHS[day.month - 1].capitalize()} {day.year}."
    if re.search(r"\bweek\b(?! day)", words) and "day" not in words:
        return f"{word} {verb} in ISO week {day.isocalendar().week}."
    if re.search(r"\bdate\b|\bday\b", words):
        return f"{word} {verb} {tell_date(day, weekday=True)}."
    return None
