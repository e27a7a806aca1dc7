"""Lengths of time: "3 weeks and 2 days", "a year", "1 hour 30 minutes"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from dateutil.relativedelta import relativedelta

from kubefugu_experts.phrasing import NUMBER, parse_number

_SECONDS = {
    "second": 1, "sec": 1, "minute": 60, "min": 60, "hour": 3600, "hr": 3600, "day": 86400, "week": 604800, "wk": 604800,
    "fortnight": 2 * 604800,
}  # fmt: skip
_MONTHS = {"month": 1, "quarter": 3, "year": 12, "yr": 12, "decade": 120, "century": 1200, "centurie": 1200}
_BUSINESS = ("business day", "working day", "work day", "weekday")
_UNIT = rf"(?:{'|'.join(sorted([*_SECONDS, *_MONTHS, *_BUSINESS], key=len, reverse=True))})s?"
_ADJECTIVE = r"(?:full |whole |calendar |complete |consecutive |more |entire )?"
_PART = rf"(?:{NUMBER}|an?|one) ?{_ADJECTIVE}{_UNIT}\b"
SPAN = rf"(?:{_PART}(?:(?: ?, ?(?:and )?| and | ){_PART})*)"
_ONE = re.compile(rf"({NUMBER}|an?) ?{_ADJECTIVE}({_UNIT})\b")


@dataclass(frozen=True, slots=True)
class Span:
    """A length of time: calendar months, exact seconds and business days are kept apart."""

    months: int = 0
    seconds: float = 0.0
    business_days: int = 0

    @property
    def whole_days(self) -> int | None:
        """Days, where the span is a number of whole days."""
        if self.months or self.business_days or self.seconds % 86400:
            return None
        return int(self.seconds // 86400)

    def add_to(self, start: date, sign: int) -> date | datetime:
        """The moment that lies the span after (sign 1) or before (-1) `start`. Raises OverflowError, ValueError."""
        moment: date = start + relativedelta(months=sign * self.months)
        if self.business_days:
            moment = _add_business_days(moment, sign * self.business_days)
        if self.seconds % 86400 and not isinstance(moment, datetime):
            moment = datetime(moment.year, moment.month, moment.day)
        return moment + timedelta(seconds=sign * self.seconds)


def parse_span(text: str) -> Span | None:
    """Read a text that matches SPAN."""
    months, seconds, business = 0.0, 0.0, 0
    for match in _ONE.finditer(text):
        number = parse_number(match[1]) if match[1] not in ("a", "an") else 1
        unit = match[2].removesuffix("s")
        if number is None:
            return None
        if unit in _BUSINESS:
            business += int(number)
        elif unit in _MONTHS:
            months += float(number) * _MONTHS[unit]
        else:
            seconds += float(number) * _SECONDS[unit]
    if months != int(months) or abs(months) > 12 * 10_000 or abs(seconds) > 86400 * 4_000_000 or business > 100_000:
        return None
    return Span(int(months), seconds, business)


def _add_business_days(start: date, count: int) -> date:
    step = 1 if count > 0 else -1
    weeks, rest = divmod(abs(count), 5)
    moment = start
    while moment.weekday() > 4:  # a weekend counts as the working day that lies behind
        moment -= timedelta(days=step)
    moment += timedelta(weeks=step * weeks)
    for _ in range(rest):
        moment += timedelta(days=step)
        while moment.weekday() > 4:
            moment += timedelta(days=step)
    return moment
