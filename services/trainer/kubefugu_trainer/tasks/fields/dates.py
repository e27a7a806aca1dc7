"""Dates: differences, weekdays, shifts, leap years, months; truths by day numbers (`calendar`)."""

from __future__ import annotations

import numpy as np

from kubefugu_trainer.tasks.fields import calendar
from kubefugu_trainer.tasks.question import Generator, Phrasing, Question
from kubefugu_trainer.tasks.verifiers import Contains, Numeric, Verifier, YesNo
from kubefugu_trainer.tasks.verify_dates import DateMatch, Day
from kubefugu_trainer.tasks.wording import Wording, integer, pick

FIELD = "dates"

_BETWEEN = Wording(
    seen=(
        "How many days are between {a} and {b}?", "How many days are there from {a} to {b}?",
        "What is the number of days between {a} and {b}?",
        "Count the days from {a} until {b}.", "How many days lie between {a} and {b}?", "days between {a} and {b}",
    ),
    new=(
        "How many days passed from {a} to {b}?", "What is the difference in days between {a} and {b}?",
        "How far apart in days are {a} and {b}?",
    ),
    fresh=(
        "If I start on {a} and finish on {b}, how many days go by?", "Give me the day count from {a} to {b}.",
        "{a} to {b}: how many days?", "It is {a}. How many days until {b}?",
    ),
)  # fmt: skip
_WEEKDAY = Wording(
    seen=(
        "What day of the week was {a}?", "What day of the week is {a}?", "Which weekday was {a}?",
        "On which day of the week does {a} fall?",
        "What weekday is {a}?", "weekday of {a}", "Which day of the week was {a}?",
    ),
    new=("Tell me the weekday of {a}.", "{a} falls on which day of the week?", "Was {a} a Monday, a Tuesday, or which day?"),
    fresh=(
        "I need to know which weekday {a} is.", "If the date is {a}, what weekday is it?", "{a}: what day of the week?",
        "Someone was born on {a}. Which day of the week was that?",
    ),
)  # fmt: skip
_AFTER = Wording(
    seen=(
        "What date is {n} {unit} after {a}?", "What is the date {n} {unit} after {a}?", "Add {n} {unit} to {a}.",
        "Which date comes {n} {unit} after {a}?",
        "What date will it be {n} {unit} after {a}?",
    ),
    new=(
        "{n} {unit} after {a} is what date?", "Starting on {a}, which date is it {n} {unit} later?",
        "What is {a} plus {n} {unit}?",
    ),
    fresh=(
        "Today is {a}. What will the date be in {n} {unit}?", "{a} + {n} {unit} = which date?",
        "A deadline is {n} {unit} after {a}. When is it?", "Count {n} {unit} forward from {a} and tell me the date.",
    ),
)  # fmt: skip
_BEFORE = Wording(
    seen=(
        "What date is {n} {unit} before {a}?", "What was the date {n} {unit} before {a}?", "Subtract {n} {unit} from {a}.",
        "Which date comes {n} {unit} before {a}?",
    ),
    new=(
        "{n} {unit} before {a} is what date?", "Going back {n} {unit} from {a}, which date is it?",
        "What is {a} minus {n} {unit}?",
    ),
    fresh=(
        "Today is {a}. What was the date {n} {unit} ago?", "{a} - {n} {unit} = which date?",
        "Something happened {n} {unit} earlier than {a}. On what date?",
        "Count {n} {unit} back from {a} and tell me the date.",
    ),
)  # fmt: skip
_LEAP = Wording(
    seen=("Is {y} a leap year?", "Was {y} a leap year?", "Is the year {y} a leap year?", "Does {y} count as a leap year?"),
    new=("Does the year {y} have 366 days?", "Does February {y} have 29 days?", "Tell me whether {y} is a leap year."),
    fresh=(
        "Has {y} got a 29th of February?", "Is there a February 29 in {y}?", "{y}: leap year or not?",
        "I wonder whether {y} is a leap year.",
    ),
)  # fmt: skip
_MONTH = Wording(
    seen=(
        "How many days are in {m} {y}?", "How many days does {m} {y} have?", "How many days were there in {m} {y}?",
        "What is the number of days in {m} {y}?",
    ),
    new=("How long is {m} {y} in days?", "{m} {y} has how many days?"),
    fresh=(
        "In {y}, how many days did {m} have?", "What is the number of the last day of {m} {y}?", "Count the days of {m} {y}.",
    ),
)  # fmt: skip
_ORDINAL = Wording(
    seen=("Which day of the year is {a}?", "What day number of the year is {a}?", "What is the day of the year for {a}?"),
    new=("{a} is which day of the year, counting from January 1?", "Give the ordinal day of the year of {a}."),
    fresh=(
        "Counting from New Year's Day as day 1, which day is {a}?", "{a} is day number what of its year?",
        "On {a}, how many days of the year have come, that day included?",
    ),
)  # fmt: skip
_AGE = Wording(
    seen=(
        "Someone was born on {a}. How old are they on {b}?", "How old is a person born on {a} on {b}?",
        "If I was born on {a}, how old am I on {b}?",
    ),
    new=("A person's birthday is {a}. What is their age in years on {b}?", "What is the age on {b} of somebody born on {a}?"),
    fresh=(
        "Born {a}: how many years old on {b}?", "My sister was born on {a}. Tell me her age on {b}.",
        "On {b}, what age has someone whose date of birth is {a}?",
    ),
)  # fmt: skip
_LAST_SAFE_DAY = 28


def _show(rng: np.random.Generator, day: Day) -> str:
    year, month, number = day
    name = calendar.MONTHS[month - 1]
    ending = "th" if 10 < number % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    forms = (
        f"{name} {number}, {year}", f"{name} {number}, {year}", f"{number} {name} {year}", f"{year}-{month:02}-{number:02}",
        f"the {number}{ending} of {name} {year}", f"{name[:3]} {number}, {year}",
    )  # fmt: skip
    return pick(rng, forms)


def _day(rng: np.random.Generator, first: int = 1900, last: int = 2060) -> Day:
    return calendar.from_day_number(integer(rng, calendar.day_number(first, 1, 1), calendar.day_number(last, 12, 31)))


def _make(
    topic: str, wording: Wording, rng: np.random.Generator, phrasing: Phrasing, slots: dict[str, object], truth: Verifier
) -> Question:
    prompt = wording.say(rng, phrasing, slots)
    return Question(prompt=prompt[0].upper() + prompt[1:], field=FIELD, topic=topic, phrasing=phrasing, verifier=truth)


def between(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Days between two dates."""
    first = _day(rng)
    days = integer(rng, 2, pick(rng, (60, 400, 6000)))
    second = calendar.from_day_number(calendar.day_number(*first) + days)
    slots: dict[str, object] = {"a": _show(rng, first), "b": _show(rng, second)}
    return _make("between", _BETWEEN, rng, phrasing, slots, Numeric(value=days, relative=0))


def weekday(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Weekday of a date."""
    day = _day(rng)
    right = calendar.weekday(*day)
    others = tuple(name for name in calendar.WEEKDAYS if name != right)
    slots: dict[str, object] = {"a": _show(rng, day)}
    return _make("weekday", _WEEKDAY, rng, phrasing, slots, Contains(accepted=(right,), excluded=others))


def _shift(rng: np.random.Generator, day: Day, sign: int) -> tuple[int, str, Day]:
    unit = pick(rng, ("days", "days", "weeks", "months", "years"))
    if unit in ("days", "weeks"):
        n = integer(rng, 2, 400 if unit == "days" else 60)
        return n, unit, calendar.from_day_number(calendar.day_number(*day) + sign * n * (1 if unit == "days" else 7))
    n = integer(rng, 2, 30)
    months = day[0] * 12 + day[1] - 1 + sign * n * (1 if unit == "months" else 12)
    return n, unit, (months // 12, months % 12 + 1, day[2])


def after(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """A date shifted forward; month arithmetic never meets a missing day."""
    year, month, number = _day(rng)
    day = (year, month, min(number, _LAST_SAFE_DAY))
    n, unit, moved = _shift(rng, day, 1)
    return _make("after", _AFTER, rng, phrasing, {"n": n, "unit": unit, "a": _show(rng, day)}, DateMatch(date=moved))


def before(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """A date shifted back."""
    year, month, number = _day(rng)
    day = (year, month, min(number, _LAST_SAFE_DAY))
    n, unit, moved = _shift(rng, day, -1)
    return _make("before", _BEFORE, rng, phrasing, {"n": n, "unit": unit, "a": _show(rng, day)}, DateMatch(date=moved))


def leap_year(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Whether a year is a leap year."""
    year = integer(rng, 1600, 2400)
    year = year - year % 4 if rng.random() < 0.5 else year
    return _make("leap_year", _LEAP, rng, phrasing, {"y": year}, YesNo(yes=calendar.leap(year)))


def month_days(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Days of a month."""
    year, month = integer(rng, 1900, 2060), integer(rng, 1, 12)
    slots: dict[str, object] = {"m": calendar.MONTHS[month - 1], "y": year}
    return _make("month_days", _MONTH, rng, phrasing, slots, Numeric(value=calendar.month_days(year, month), relative=0))


def ordinal(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Number of a day in its year."""
    day = _day(rng)
    value = calendar.day_number(*day) - calendar.day_number(day[0], 1, 1) + 1
    return _make("ordinal", _ORDINAL, rng, phrasing, {"a": _show(rng, day)}, Numeric(value=value, relative=0))


def age(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Age in years on a date."""
    born, then = _day(rng, 1920, 2005), _day(rng, 2006, 2030)
    value = then[0] - born[0] - ((then[1], then[2]) < (born[1], born[2]))
    slots: dict[str, object] = {"a": _show(rng, born), "b": _show(rng, then)}
    return _make("age", _AGE, rng, phrasing, slots, Numeric(value=value, relative=0))


TOPICS: dict[str, Generator] = {
    "between": between, "weekday": weekday, "after": after, "before": before, "leap_year": leap_year,
    "month_days": month_days, "ordinal": ordinal, "age": age,
}  # fmt: skip
