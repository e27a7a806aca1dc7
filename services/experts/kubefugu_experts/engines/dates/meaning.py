"""Calendar questions in free wording: which dates, spans and weekdays are there, and what do the words ask of them?

Unlike the narrow rules this reading does not need to know every word; it needs operands of the right kinds and a cue.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from kubefugu_experts.engines.dates import answers, years
from kubefugu_experts.engines.dates.reading import Reading, read
from kubefugu_experts.engines.dates.telling import tell_date
from kubefugu_experts.phrasing.meaning import Operation, meant, operation

_Answer = Callable[[Reading, datetime], str | None]
_FOREIGN = re.compile(
    r"\b(?:who|whom|whose|why|happened|president|king|queen|invent\w*|discover\w*|capital|population|weather|rain|cost|price|"
    r"km|kilomet\w+|miles?|mph|kg|convert|poem|story|write an?|code|wrote|won|true or false that|history|event took|"
    r"synonym|celsius)\b"
)
_NAMED = r"(the day before yesterday|the day after tomorrow|yesterday|today|tomorrow|it|now)"
_OFFSETS = {
    "the day before yesterday": -2,
    "yesterday": -1,
    "today": 0,
    "it": 0,
    "now": 0,
    "tomorrow": 1,
    "the day after tomorrow": 2,
}
_WEEKDAY_NAME = r"((?:mon|tues|wednes|thurs|fri|satur|sun)day)"
_WORDING = (
    (r"\b(?:today|now|it)(?: is|'s) (?=(?:the )?\d|[a-z]{3,9} \d{1,2}\b)", "starting "),
    (r"\b(?:as of |if )?today (?=\()", ""),
    (r"\b(?:a|one|1)? ?fortnights?\b", "2 weeks"),
    (r"\bhalf a year\b", "6 months"),
    (r"\bhalf an hour\b", "30 minutes"),
    (r"\b(\d+) and (?:a|1) half hours\b", r"\1 hours and 30 minutes"),
    (r"\bthe (?:(?:very )?next )?day (after|following) (?=.*\d)", r"1 day after "),
    (r"\bthe day (before|preceding) (?=.*\d)", r"1 day before "),
    (r"\b(?:the )?year (?=\d{4})", ""),
)


@dataclass(frozen=True, slots=True)
class _Kind:
    """What may be asked of such operands."""

    cues: Operation
    answer: _Answer
    needs: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def fits(self, reading: Reading) -> bool:
        """True where there are as many operands of each kind as needed, and no others."""
        return all(
            self.needs.get(name, (0, 0))[0] <= len(getattr(reading, name)) <= self.needs.get(name, (0, 0))[1]
            for name in ("days", "times", "spans", "ordinals", "weekdays", "months", "years")
        )


def _kind(name: str, answer: _Answer, needs: Mapping[str, tuple[int, int]], *cues: tuple[int, str]) -> _Kind:
    return _Kind(operation(name, *cues), answer, needs)


def _leap_by_day(reading: Reading, now: datetime) -> str | None:
    """Does 1992 have a February 29?"""
    (day,) = reading.days
    if (day.month, day.day) != (2, 29) or not reading.years:
        return None
    return years.leap(reading, now)


_ONE, _TWO = (1, 1), (2, 2)
_LATER = r"after|later|from|in|within|past|following|add\w*|plus|forward|on|for|takes?|lasts?|ahead|hence|more|due|when|until"
_EARLIER = r"before|earlier|ago|minus|subtract\w*|back\w*|prior|preceding|previous"
_KINDS: tuple[_Kind, ...] = (
    _kind(
        "weekday",
        answers.weekday,
        {"days": _ONE, "years": (0, 1)},
        (4, r"days? of (?:the|a) week|weekdays?|week day|name of the day|day name"),
        (3, r"(?:what|which|on what|on which) days?\b(?! of the (?:year|month))"),
    ),
    _kind("check", answers.weekday_check, {"days": _ONE, "weekdays": _ONE}, (2, r"is|was|did|does|do|will|fall\w*|fell|"
    r"land\w*")),
    _kind(
        "day of year",
        answers.day_of_year,
        {"days": _ONE},
        (6, r"day (?:number )?(?:of|in|within) the year|day-?of-?year|day number|number of (?:that|this|the) day|"
        r"how many days into"),
        (6, r"which (?:numbered )?day of the year"),
    ),
    _kind("week", answers.iso_week, {"days": _ONE}, (5, r"(?:iso|calendar) week|week (?:number|no)|(?:which|"
    r"what) (?:numbered )?week\b(?! ?day)")),
    _kind("valid", answers.valid, {"days": _ONE}, (5, r"exist\w*|real|valid|proper|legit\w*|genuine|ever|possible|"
    r"is there|such a (?:date|day)|actual\w*")),
    _kind("iso", answers.iso_format, {"days": _ONE}, (6, r"iso(?! week)|yyyy|8601")),
    _kind("leap by day", _leap_by_day, {"days": _ONE, "years": _ONE}, (7, r"DATE")),
    _kind("age", answers.age, {"days": _TWO}, (6, r"how old|age|aged|birthday|born"),),
    _kind(
        "between",
        answers.between,
        {"days": _TWO, "years": (0, 1)},
        (4, r"how (?:many|long|much time|far)|number of|count|difference|distance|interval|duration|apart|separat\w*|"
        r"elaps\w*|gap"),
        (3, r"days|weeks|months|length|last(?:s|ed)"),
    ),
    _kind(
        "earlier",
        answers.earlier,
        {"days": _TWO},
        (5, r"(?:which|what|whichever|who)\b.*\b(?:earlier|later|first|last|latest|earliest|sooner|before|after|older|"
        r"younger|newer)"),
        (4, r"earlier|later|came first|comes first|sooner|precede\w*"),
    ),
    _kind("shift", answers.shift, {"days": _ONE, "spans": (1, 2)}, (2, _LATER), (2, _EARLIER), (2, r"date|day|when|SPAN")),
    _kind("weekday after", answers.weekday_shift, {"weekdays": _ONE, "spans": _ONE}, (2, _LATER), (2, _EARLIER)),
    _kind("neighbour", answers.weekday_neighbour, {"weekdays": _ONE}, (2, r"(?:after|before|follow\w*|preced\w*|next|"
    r"prior|previous)")),
    _kind(
        "month after",
        years.month_shift,
        {"months": _ONE, "spans": (0, 1)},
        (4, r"month\b.*\b(?:before|after|follow\w*|preced\w*|next|previous|later|earlier|prior|from)"),
        (4, r"(?:before|after|follow\w*|preced\w*|next|previous|later|earlier|prior|from)\b.*\bmonth"),
    ),
    _kind(
        "nth weekday",
        years.nth_weekday_date,
        {"ordinals": _ONE, "weekdays": _ONE, "months": _ONE, "years": (0, 1)},
        (3, r"ORDINAL WEEKDAY"),
    ),
    _kind(
        "weekdays in month",
        years.weekdays_in_month,
        {"weekdays": _ONE, "months": (0, 1), "years": (0, 1)},
        (3, r"how (?:many|often)|number of|count|times"),
    ),
    _kind(
        "days in month",
        years.days_in_month,
        {"months": _ONE, "years": (0, 1), "spans": (0, 1), "ordinals": (0, 1)},
        (3, r"how (?:many|long)|number of days|days|length|last day|SPAN"),
    ),
    _kind("leap", years.leap, {"years": (1, 3)}, (3, r"leap|extra day|366|(?:an )?additional day|intercalary|bissextile")),
    _kind(
        "next leap",
        years.leap_next,
        {"years": _ONE},
        (4, r"(?:next|first|previous|last|closest|nearest)\b.*\bleap|leap\b.*\b(?:after|before|follow\w*|preced\w*|"
        r"since|comes?)"),
        (3, r"(?:after|before|following|preceding) YEAR"),
    ),
    _kind("leap years between", years.leap_between, {"years": _TWO}, (5, r"(?:how many|number of|count|"
    r"list)\b.*\bleap|leap\b.*\b(?:between|from)")),
    _kind("days in year", years.days_in_year, {"years": _ONE}, (3, r"how (?:many days|long)|number of days|days|"
    r"how many weeks")),
    _kind("century", years.century, {"years": (0, 1), "days": (0, 1)}, (6, r"centur(?:y|ies)")),
    _kind(
        "clock difference",
        answers.clock_difference,
        {"times": _TWO},
        (3, r"how (?:long|many|much)|duration|length|last(?:s|ed)?|between|from|until|till|elaps\w*|difference|spent|took"),
    ),
    _kind("clock shift", answers.clock_shift, {"times": _ONE, "spans": _ONE}, (2, _LATER), (2, _EARLIER), (2, r"when|"
    r"time|clock|arriv\w*|end\w*|finish\w*|over")),
)  # fmt: skip


def answer(text: str, now: datetime) -> str | None:
    """The answer to a lower-case text, or None where operands or operation are missing or ambiguous."""
    text = text.replace("...", ", ")
    if _FOREIGN.search(text):
        return None
    if found := _of_named_days(text) or _nth_day(text):
        return found
    for pattern, replacement in _WORDING:
        text = re.sub(pattern, replacement, text)
    reading = read(text, now)
    if not (reading.days or reading.times or reading.weekdays or reading.months or reading.years):
        return None
    if any(day.today for day in reading.days):
        return None
    kinds = [kind for kind in _KINDS if kind.fits(reading)]
    name = meant(reading.skeleton, [kind.cues for kind in kinds])
    found_kind = next((kind for kind in kinds if kind.cues.name == name), None)
    return found_kind.answer(reading, now) if found_kind else None


def _of_named_days(text: str) -> str | None:
    """Yesterday was Sunday. What day is tomorrow?"""
    known = re.search(rf"\b{_NAMED}(?: is|'s| was| will be)(?: an?)? {_WEEKDAY_NAME}\b", text)
    if known is None:
        return None
    rest = text[: known.start()] + " " + text[known.end() :]
    asked = re.search(
        rf"\b(?:day|weekday)\b(?: of the week)? .*?\b{_NAMED}\b|\b{_NAMED}\b.*\b(?:what|"
        rf"which) (?:week)?day\b",
        rest,
    )
    if asked is None or re.search(r"\d", rest):
        return None
    names = [name.lower() for name in calendar.day_name]
    offset = _OFFSETS[asked[1] or asked[2]] - _OFFSETS[known[1]]
    return f"It is a {calendar.day_name[(names.index(known[2]) + offset) % 7]}." if offset else None


def _nth_day(text: str) -> str | None:
    """The 200th day of 2023 is which date?"""
    match = re.search(r"\b(\d{1,3})(?:st|nd|rd|th) day (?:of|in) (?:the )?(?:year )?(\d{4})\b", text) or re.search(
        r"\bday (?:number )?(\d{1,3}) (?:of|in) (?:the )?(?:year )?(\d{4})\b", text
    )
    if match is None or not re.search(r"\b(?:date|when|which|what)\b", text):
        return None
    year, number = int(match[2]), int(match[1])
    if not 1 <= number <= (366 if calendar.isleap(year) else 365):
        return None
    return f"It is {tell_date(date(year, 1, 1) + timedelta(days=number - 1))}."
