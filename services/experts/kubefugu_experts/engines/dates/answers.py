"""Answers about days and times: reading and clock in, a sentence or None out."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta

from dateutil.relativedelta import relativedelta

from kubefugu_experts.engines.dates.dating import COMMON_YEAR, date_of, dates_of, name_of, sign_of
from kubefugu_experts.engines.dates.reading import Reading
from kubefugu_experts.engines.dates.telling import count, join, tell_date, tell_duration, tell_time, tell_weekday
from kubefugu_experts.engines.dates.words import MONTHS


def weekday(reading: Reading, now: datetime) -> str | None:
    """What day of the week was July 4, 1776?"""
    (day,) = reading.days
    if day.year is None and not reading.years:
        return None
    found = date_of(day, year=reading.years[0] if reading.years else COMMON_YEAR)
    verb = "is" if day.today else "was" if found.year < now.year else "is"
    return f"{tell_date(found)}{' (month/day/year)' if day.ambiguous else ''} {verb} a {tell_weekday(found)}."


def weekday_check(reading: Reading, now: datetime) -> str | None:
    """Was July 20, 1969 a Sunday?"""
    (day,) = reading.days
    if day.year is None:
        return None
    found = date_of(day)
    yes = found.weekday() == reading.weekdays[0]
    return f"{'Yes' if yes else 'No'}, {name_of(day, found)} is a {tell_weekday(found)}."


def anchored_weekday(reading: Reading, now: datetime) -> str | None:
    """In a year where Tuesday is January 1st, which weekday is February 20?"""
    first, second = (date_of(day) for day in reading.days)
    number = (reading.weekdays[0] + (second - first).days) % 7
    return f"In that year {MONTHS[second.month - 1].capitalize()} {second.day} is a {tell_weekday(number)}."


def from_first_weekday(reading: Reading, now: datetime) -> str | None:
    """If the first day of the year was a Thursday, what day of the week is March 13?"""
    (day,) = reading.days
    found = date_of(day)
    number = (reading.weekdays[0] + found.timetuple().tm_yday - 1) % 7
    return f"It is a {tell_weekday(number)}{'' if day.year else ' (in a common year)'}."


def occurrences(reading: Reading, now: datetime) -> str | None:
    """How many Wednesdays are there between two dates (both counted)?"""
    first, second = sorted(dates_of(reading))
    wanted = reading.weekdays[-1]
    start = first + timedelta(days=(wanted - first.weekday()) % 7)
    number = (second - start).days // 7 + 1 if start <= second else 0
    name = tell_weekday(wanted)
    return f"There are {count(number, name)} (both dates counted)."


def between(reading: Reading, now: datetime) -> str | None:
    """How many days (weeks, months, years) are between two dates?"""
    first, second = dates_of(reading)
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
    first, second = dates_of(reading)
    names = [name_of(day, found) for day, found in zip(reading.days, (first, second), strict=True)]
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
    born = date_of(reading.days[0])
    if reading.days[0].year is None or (len(reading.days) == 1 and reading.years):
        return None
    if len(reading.days) == 1 and not re.search(r"\b(?:am i|now|are|is)\b|will i be", reading.skeleton):
        return None
    at = date_of(reading.days[1], year=now.year) if len(reading.days) == 2 else now.date()
    early, late = min(born, at), max(born, at)
    gap = relativedelta(late, early)
    when = "today" if len(reading.days) == 1 or reading.days[1].today else f"on {tell_date(late)}"
    return f"The age {when} is {count(gap.years, 'year')}."


def shift(reading: Reading, now: datetime) -> str | None:
    """What date is 45 days after March 3, 2021?"""
    (day,) = reading.days
    if re.search(r"how (?:many|much|long|old)", reading.skeleton):
        return None
    if day.year is None and reading.spans[0].whole_days is None and not reading.spans[0].months:
        return None
    start = date_of(day)
    sign = sign_of(reading.skeleton)
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
    found = reading.spans[0].add_to(now.date(), sign_of(reading.skeleton))
    return f"Counted from today ({tell_date(now.date())}) it is {tell_date(found, weekday=True)}."


def weekday_shift(reading: Reading, now: datetime) -> str | None:
    """If today is Monday, what day will it be in 10 days?"""
    days = reading.spans[0].whole_days
    if days is None or re.search(r"how (?:many|much|long)", reading.skeleton):
        return None
    number = (reading.weekdays[0] + sign_of(reading.skeleton) * days) % 7
    return f"It is a {tell_weekday(number)}."


def weekday_neighbour(reading: Reading, now: datetime) -> str | None:
    """Which day comes after Tuesday?"""
    words = reading.skeleton
    step = -1 if re.search(r"before|preced|previous|prior", words) else 1 if re.search(r"after|follow|next", words) else 0
    if not step or not re.search(r"\bday\b|what|which", words):
        return None
    start = tell_weekday(reading.weekdays[0])
    return f"The day {'after' if step > 0 else 'before'} {start} is {tell_weekday((reading.weekdays[0] + step) % 7)}."


def days_until(reading: Reading, now: datetime) -> str | None:
    """How many days are left until Christmas 2026, from today?"""
    day = date_of(reading.days[0], year=now.year)
    if reading.days[0].today:
        return None
    gap = ((day.date() if isinstance(day, datetime) else day) - now.date()).days
    if gap < 0:
        return None if reading.days[0].year else f"Counted from today, it was {count(-gap, 'day')} ago."
    return f"Counted from today, there are {count(gap, 'day')}."


def day_of_year(reading: Reading, now: datetime) -> str | None:
    """Which day of the year is March 1, 2024?"""
    (day,) = reading.days
    found = date_of(day)
    note = "" if day.year else " (in a year that is not a leap year)"
    return f"{name_of(day, found)} is day {found.timetuple().tm_yday} of the year{note}."


def days_left(reading: Reading, now: datetime) -> str | None:
    """How many days are left in the year after October 1, 2024?"""
    if "year" not in reading.skeleton and not reading.years:
        return None
    (day,) = reading.days
    found = date_of(day, year=reading.years[0] if reading.years else COMMON_YEAR)
    days = (date(found.year, 12, 31) - (found.date() if isinstance(found, datetime) else found)).days
    return f"There are {count(days, 'day')} left in the year."


def iso_week(reading: Reading, now: datetime) -> str | None:
    """Which ISO week is January 1, 2021 in?"""
    (day,) = reading.days
    if day.year is None:
        return None
    found = date_of(day)
    year, week, _ = found.isocalendar()
    return f"{name_of(day, found)} is in ISO week {week}{f' of {year}' if year != found.year else ''}."


def valid(reading: Reading, now: datetime) -> str | None:
    """Is February 29, 2023 a valid date?"""
    (day,) = reading.days
    found = date_of(day, year=2024) if day.year is None else date_of(day)
    return f"Yes, {name_of(day, found)} is a valid date."


def iso_format(reading: Reading, now: datetime) -> str | None:
    """Write July 4, 1776 in ISO format."""
    (day,) = reading.days
    return None if day.year is None else f"It is {date_of(day).isoformat()}."


def when_is(reading: Reading, now: datetime) -> str | None:
    """When is Easter 2025? (A date that the question names by its holiday.)"""
    (day,) = reading.days
    if day.year is None or re.search(r"today|now", reading.skeleton):
        return None
    return f"It is {tell_date(date_of(day), weekday=True)}."


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
    found = span.add_to(start, sign_of(reading.skeleton))
    assert isinstance(found, datetime)
    days = (found.date() - start.date()).days
    note = "" if not days else f", {count(abs(days), 'day')} {'later' if days > 0 else 'earlier'}"
    return f"It is {tell_time(found.time())}{note}."


def now(reading: Reading, now: datetime) -> str | None:
    """What is today's date? What time is it?"""
    words = reading.skeleton
    if reading.days and not reading.days[0].today:
        return None
    offset = (date_of(reading.days[0]) - now.date()).days if reading.days else 0
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
