"""The kinds of calendar questions: which placeholders and trigger words each has, and how it is answered."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from kubefugu_experts.engines.dates import answers, years
from kubefugu_experts.engines.dates.dating import NotADateError
from kubefugu_experts.engines.dates.reading import Reading

__all__ = ["RULES", "NotADateError", "Rule"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of question."""

    name: str
    answer: Callable[[Reading, datetime], str | None]
    """The sentence, or None where it does not fit after all."""
    needs: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Placeholder lists that must hold between so many and so many entries; those not named must be empty."""
    trigger: str = ""
    """Pattern that the skeleton must contain."""
    unless: str = ""
    """Pattern that it must not contain."""

    def fits(self, reading: Reading) -> bool:
        """True where placeholders and triggers are those of this kind."""
        for name in ("days", "times", "spans", "ordinals", "weekdays", "months", "years"):
            least, most = self.needs.get(name, (0, 0))
            if not least <= len(getattr(reading, name)) <= most:
                return False
        if self.unless and re.search(self.unless, reading.skeleton):
            return False
        return bool(re.search(self.trigger, reading.skeleton))


_ONE, _TWO = (1, 1), (2, 2)
_HOW_LONG = r"how (?:many|much|long|far|old)|number of|count|difference|duration|interval|gap|between|elapsed|apart|time from|DATE (?:to|until|till) DATE"
_SHIFT = r"after|before|from|later|earlier|ago|hence|plus|minus|add|subtract|past|prior|preceding|following|[+-]|in SPAN|ahead|back|since|SPAN"
_WEEKDAY_ASKED = r"day of (?:the|a) week|weekday|week day|(?:what|which|name) (?:the )?day|day (?:is|was|will|did|does|name|that)|day (?:it )?(?:is|was)|days? (?:fall|fell)"

RULES: tuple[Rule, ...] = (
    Rule("occurrences", answers.occurrences, {"days": _TWO, "weekdays": _ONE}, r"how (?:many|often)|number of|count|occurrences"),
    Rule("weekday check", answers.weekday_check, {"days": _ONE, "weekdays": _ONE}, r"\b(?:is|was|will|did|does|do)\b.*(?:WEEKDAY)", r"how|what|which|before|after|next|first day"),
    Rule("anchored weekday", answers.anchored_weekday, {"days": _TWO, "weekdays": _ONE}, r"WEEKDAY is DATE|DATE (?:is|was|falls|fell)(?: on)?(?: a)? WEEKDAY"),
    Rule("first day of the year", answers.from_first_weekday, {"days": _ONE, "weekdays": _ONE, "ordinals": (0, 1)}, r"(?:first|ORDINAL) day of the year"),
    Rule("age", answers.age, {"days": (1, 2), "years": (0, 1)}, r"\bhow old\b|\bage\b|\baged\b", r"days|weeks|months"),
    Rule("day of year", answers.day_of_year, {"days": _ONE}, r"day (?:number )?(?:of|in) the year|day number|ordinal (?:day|date|position)|day of year|(?:which|what) number day|day's number"),
    Rule("days left", answers.days_left, {"days": _ONE, "years": (0, 1)}, r"(?:left|remain|remaining|remains|until the end).*|to go", r"between"),
    Rule("iso week", answers.iso_week, {"days": _ONE}, r"(?:iso|calendar) week|week (?:number|of the year|is|was|does|did|in the year)|number of the week|(?:which|what) week|week contains", r"day of the week|weekday|how many|what day"),
    Rule("earlier", answers.earlier, {"days": _TWO}, r"which|what|(?:is|was|does|did|do) DATE (?:come |fall |occur )?(?:before|after|earlier|later)|come first", r"how|days|long|weekday|day of the week|month|weeks|(?:what|which) day"),
    Rule("between", answers.between, {"days": _TWO}, _HOW_LONG, r"(?:which|what) (?:day|date)"),
    Rule("shift to weekday", answers.shift, {"days": _ONE, "spans": (1, 2)}, _SHIFT),
    Rule("shift without date", answers.shift_now, {"spans": _ONE}, r"\b(?:date|day)\b.*(?:\bin SPAN|SPAN ago|SPAN later|SPAN from now)|date (?:was|will).*SPAN"),
    Rule("weekday after weekday", answers.weekday_shift, {"weekdays": _ONE, "spans": _ONE}, r"after|before|from|later|earlier|ago|in SPAN|hence|past|prior|ahead|back|pass"),
    Rule("neighbour weekday", answers.weekday_neighbour, {"weekdays": _ONE}, r"(?:day|what|which|one).*(?:comes?|follows?|following|after|before|precedes?|preceding|next|is)", r"how many|number"),
    Rule("month after month", years.month_shift, {"months": _ONE, "spans": (0, 1)}, r"(?:what|which|name).*month.*(?:after|before|follow|following|preced|next|later|earlier|from)|MONTH.*(?:SPAN).*month"),
    Rule("weekday", answers.weekday, {"days": _ONE, "years": (0, 1), "weekdays": (0, 7)}, _WEEKDAY_ASKED, r"\bdays\b (?!of)|how many|date of"),
    Rule("nth weekday", years.nth_weekday_date, {"ordinals": _ONE, "weekdays": _ONE, "months": _ONE, "years": (0, 1)}, r"ORDINAL WEEKDAY"),
    Rule("weekdays in month", years.weekdays_in_month, {"weekdays": _ONE, "months": (0, 1), "years": (0, 1)}, r"how (?:many|often)|number of|count"),
    Rule("nth month", years.nth_month, {"ordinals": _ONE}, r"ORDINAL month"),
    Rule("month has days", years.month_has_days, {"months": _ONE, "years": (0, 1), "spans": _ONE}, r"\b(?:have|has|with|got)\b", r"how|what|which"),
    Rule("days in month", years.days_in_month, {"months": _ONE, "years": (0, 1), "ordinals": (0, 1)}, r"how (?:many|long)|ORDINAL day of|number of days|days (?:in|are|of)|length of|last day of|last date of|end of", r"weeks|hours|business|working|weekend"),
    Rule("days in a kind of year", years.days_in_kind_of_year, {}, r"days.*\b(?:leap|common|normal|regular|ordinary) year|\b(?:leap|common|normal|regular|ordinary) year\b.*days"),
    Rule("next leap year", years.next_leap_from_now, {}, r"(?:next|last|previous) leap year"),
    Rule("days until", answers.days_until, {"days": _ONE}, r"how (?:many|long).*\b(?:until|till|before|to go)\b|days (?:until|till|to)\b"),
    Rule("leap years between", years.leap_between, {"years": _TWO}, r"leap", r"\bis\b(?! the)|\bwas\b"),
    Rule("leap next", years.leap_next, {"years": _ONE}, r"(?:next|first|previous|last|prior|preceding|following|after|before).*leap|leap.*(?:after|before|following|preceding|since|prior)"),
    Rule("leap", years.leap, {"years": (1, 3)}, r"leap|have (?:a )?DATE"),
    Rule("has 366 days", years.has_days, {"years": _ONE, "spans": _ONE}, r"(?:do|does|did|will|have|has|is)"),
    Rule("leap day", years.leap_day, {"days": _ONE, "years": (0, 1)}, r"leap"),
    Rule("days in year", years.days_in_year, {"years": _ONE}, r"(?:how many|number of|count).*(?:days|weeks)|days (?:in|are|of)|how long"),
    Rule("years between", years.years_between, {"years": _TWO}, r"(?:how many|number of) (?:years|decades|centuries)|how long|difference|between|how much time", r"leap|days|weeks|months"),
    Rule("century", years.century, {"years": (0, 1), "days": (0, 1)}, r"century|which half"),
    Rule("quarter", years.quarter, {"days": (0, 1), "months": (0, 1)}, r"quarter"),
    Rule("valid", answers.valid, {"days": _ONE}, r"valid|exist|real|possible|is there (?:a |an )?DATE|was there (?:a |an )?DATE|have a DATE"),
    Rule("iso format", answers.iso_format, {"days": _ONE}, r"iso|yyyy-mm-dd|8601"),
    Rule("when is", answers.when_is, {"days": _ONE}, r"^(?:when|what date|on (?:what|which) date|which date|on which day|what is the date of|what was the date of|the date of|date of)\b"),
    Rule("clock difference", answers.clock_difference, {"times": _TWO}, r"how|between|from|to|until|duration|difference|elapsed|start|started|began|long"),
    Rule("clock shift", answers.clock_shift, {"times": _ONE, "spans": _ONE}, r"after|before|from|later|earlier|plus|minus|add|subtract|in SPAN|past|ago|lasts?|takes?|SPAN|end|finish"),
    Rule("now", answers.now, {"days": (0, 1)}, r"\b(?:date|day|time|year|month|week)\b.*(?:is it|now|current|currently|DATE|it is)|(?:DATE|current) (?:date|day|time|year|month|week)|what (?:time|day|date|month|year) is it"),
)  # fmt: skip
"""In the order in which they are tried: the more telling first."""
