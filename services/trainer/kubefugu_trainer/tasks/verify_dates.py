"""Verifier of calendar dates written in any of the usual ways."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kubefugu_trainer.tasks.verifiers import answer_part

Day = tuple[int, int, int]
"""(year, month, day)."""
MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_MONTH = "|".join(f"{name}|{name[:3]}" for name in MONTHS) + "|sept"
_ISO = re.compile(r"\b(\d{4})-(\d{1,2})-(\d{1,2})\b")
_MONTH_FIRST = re.compile(rf"\b({_MONTH})\.?\s+(\d{{1,2}})(?:st|nd|rd|th)?,?\s+(\d{{4}})\b", re.IGNORECASE)
_DAY_FIRST = re.compile(rf"\b(\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?({_MONTH})\.?,?\s+(\d{{4}})\b", re.IGNORECASE)
_SLASHED = re.compile(r"\b(\d{1,2})/(\d{1,2})/(\d{4})\b")


def _month(word: str) -> int:
    return next(i for i, name in enumerate(MONTHS, start=1) if name.startswith(word.casefold()[:3]))


def dates_in(text: str) -> list[Day]:
    """All dates of a text, in order. 3/4/2024 is read as month/day/year."""
    found: list[tuple[int, Day]] = []
    found += [(m.start(), (int(m[1]), int(m[2]), int(m[3]))) for m in _ISO.finditer(text)]
    found += [(m.start(), (int(m[3]), _month(m[1]), int(m[2]))) for m in _MONTH_FIRST.finditer(text)]
    found += [(m.start(), (int(m[3]), _month(m[2]), int(m[1]))) for m in _DAY_FIRST.finditer(text)]
    found += [(m.start(), (int(m[3]), int(m[1]), int(m[2]))) for m in _SLASHED.finditer(text)]
    return [day for _, day in sorted(found)]


@dataclass(frozen=True, slots=True, kw_only=True)
class DateMatch:
    """One date: the last in the reply that the question does not contain."""

    date: Day

    def score(self, prompt: str, reply: str) -> float:
        """1 if the reply's date is the right one."""
        given = set(dates_in(prompt))
        found = [day for day in dates_in(answer_part(reply)) if day not in given]
        return float(bool(found) and found[-1] == self.date)
