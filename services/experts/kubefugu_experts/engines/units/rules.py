"""The kinds of questions about units, tried in order."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from kubefugu_experts.engines.units import answers
from kubefugu_experts.engines.units.calculate import Calculator
from kubefugu_experts.engines.units.reading import Reading
from kubefugu_experts.phrasing import Rounding

__all__ = ["RULES", "Rule"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of question: how many quantities, units and numbers it has, and which words."""

    name: str
    answer: Callable[[Reading, Rounding, Calculator], str | None]
    quantities: tuple[int, int] = (0, 0)
    units: tuple[int, int] = (0, 0)
    numbers: tuple[int, int] = (0, 0)
    trigger: str = ""
    unless: str = ""

    def fits(self, reading: Reading) -> bool:
        """True where counts and words are those of this kind."""
        for (least, most), found in (
            (self.quantities, reading.quantities),
            (self.units, reading.units),
            (self.numbers, reading.numbers),
        ):
            if not least <= len(found) <= most:
                return False
        if self.unless and re.search(self.unless, reading.skeleton):
            return False
        return bool(re.search(self.trigger, reading.skeleton))


_COMPARED = r"\b(?:longer|shorter|heavier|lighter|bigger|larger|smaller|greater|more|less|faster|slower|hotter|colder|warmer|cooler|taller|farther|further|higher|lower|wider|deeper|older|longest|shortest|heaviest|lightest|biggest|largest|smallest|greatest|fastest|slowest|hottest|coldest|highest|lowest|furthest|farthest|most|least)\b"
_TRAVEL = (
    r"travel|driv|drov|mov|run|ran|walk|ride|cover|fl[iey]|cycl|\bgo\b|goes|car|train|bus|plane|speed|how (?:far|fast|long)"
)
_OPERATION = r"\b(?:plus|minus|add|added|adding|sum|total|combined|together|subtract|subtracted|subtracting|difference|take|and)\b|QTY [+-] QTY"
_TIMES = r"\b(?:times|multiplied|multiply|double|twice|triple|half|divided|divide|dividing)\b|[*×x÷/]"

RULES: tuple[Rule, ...] = (
    Rule("equality", answers.equality, quantities=(2, 2), trigger=r"^(?:is|are|does|do|would|was|were)\b.*(?:equal|same|equivalent|make|exactly)|true that QTY (?:is|equals|are)|QTY (?:=|==|is|equals?) QTY|compare|comparison", unless=_COMPARED + "|how"),
    Rule("comparison", answers.comparison, quantities=(2, 4), trigger=_COMPARED, unless=r"how (?:much|many) \w+ (?:is|are)|sum|difference"),
    Rule("travel", answers.travel, quantities=(2, 2), units=(0, 1), trigger=_TRAVEL, unless=r"\+|plus|minus|sum|difference"),
    Rule("sum", answers.total, quantities=(1, 4), units=(0, 1), trigger=_OPERATION, unless=_TIMES + r"|UNIT and UNIT|" + _COMPARED),
    Rule("scaled", answers.scaled, quantities=(1, 1), units=(0, 1), numbers=(0, 1), trigger=_TIMES),
    Rule("product", answers.product, quantities=(2, 2), units=(0, 1), trigger=r"times|multipl|divid|[*×x÷/]|ratio"),
    Rule("how many fit", answers.how_many_fit, quantities=(2, 2), trigger=r"how many|number of"),
    Rule("two units", answers.two_units, quantities=(1, 1), units=(2, 2), trigger=r"UNIT (?:and )?UNIT"),
    Rule("conversion", answers.conversion, quantities=(1, 1), units=(1, 1)),
    Rule("conversion of one", answers.to_one, quantities=(2, 2), trigger=r"how (?:many|much)|number|convert|into|in\b|to\b|as\b|express"),
    Rule("number beside units", answers.number_and_units, units=(2, 2), numbers=(1, 1), trigger=r"convert|conversion|change|from UNIT (?:to|into) UNIT"),
    Rule("factor", answers.factor, units=(1, 2), trigger=r"how (?:many|much)|factor|convert|conversion|ratio|number"),
)  # fmt: skip
