"""The vocabulary of calendar questions."""

from __future__ import annotations

import re
from collections.abc import Iterable

MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
)  # fmt: skip
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_MONTH_NUMBERS = {name: number for number, name in enumerate(MONTHS, start=1)}
_MONTH_NUMBERS |= {name[:3]: number for name, number in _MONTH_NUMBERS.items() if name != "may"} | {"sept": 9}
_WEEKDAY_NUMBERS = {name: number for number, name in enumerate(WEEKDAYS)}
_WEEKDAY_NUMBERS |= {
    "mon": 0, "tue": 1, "tues": 1, "wed": 2, "thu": 3, "thur": 3, "thurs": 3, "fri": 4, "sat": 5, "sun": 6,
}  # fmt: skip
ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10,
    "eleventh": 11, "twelfth": 12, "last": -1, "final": -1,
}  # fmt: skip
_DAY_WORDS = {
    **{word: number for word, number in ORDINALS.items() if number > 0},
    "thirteenth": 13, "fourteenth": 14, "fifteenth": 15, "sixteenth": 16, "seventeenth": 17, "eighteenth": 18, "nineteenth": 19,
    "twentieth": 20, "twenty-first": 21, "twenty-second": 22, "twenty-third": 23, "twenty-fourth": 24, "twenty-fifth": 25,
    "twenty-sixth": 26, "twenty-seventh": 27, "twenty-eighth": 28, "twenty-ninth": 29, "thirtieth": 30, "thirty-first": 31,
}  # fmt: skip


def _either(words: Iterable[str]) -> str:
    return "|".join(sorted((re.escape(word) for word in words), key=len, reverse=True))


MONTH = rf"(?:{_either(_MONTH_NUMBERS)})\b\.?"
WEEKDAY = rf"(?:{_either(WEEKDAYS)})"
WEEKDAY_OR_SHORT = rf"(?:{_either(_WEEKDAY_NUMBERS)})\b\.?"
DAY_WORD = rf"(?:{_either(_DAY_WORDS)})"
ORDINAL = rf"(?:{_either(ORDINALS)}|\d{{1,2}}(?:st|nd|rd|th))"


def month_number(word: str) -> int:
    """1 to 12."""
    return _MONTH_NUMBERS[word.rstrip(".")]


def weekday_number(word: str) -> int:
    """0 (Monday) to 6."""
    word = word.rstrip(".")
    return _WEEKDAY_NUMBERS.get(word, _WEEKDAY_NUMBERS.get(word.removesuffix("s"), 0))


def day_number(word: str) -> int:
    """Day of a month: 4, 4th, fourth."""
    digits = re.match(r"\d+", word)
    return int(digits[0]) if digits else _DAY_WORDS[word]


def ordinal_number(word: str) -> int:
    """1, 2, ... or -1 for last."""
    digits = re.match(r"\d+", word)
    return int(digits[0]) if digits else ORDINALS[word]


VOCABULARY = frozenset(
    (
        "DATE TIME SPAN ORDINAL WEEKDAY MONTH YEAR "
        "a an the of on in at to from for by with as and or than that this it its there then if given suppose assuming assume "
        "is was are were be been being will would shall do does did has have had can could should has what which when how many "
        "much long far old ago later earlier before after since until till up through thru between within past following "
        "preceding next previous prior hence day days date dates week weeks weekday weekdays weekend month months year years "
        "hour hours minute minutes second seconds time times name named called number numbered calendar iso gregorian leap "
        "common century quarter half day's week's month's year's one fall falls fell falling land lands landed occur occurs "
        "occurred occurring happen happens happened come comes came take takes place took run runs pass passes passed passing "
        "elapse elapsed elapses separate separates apart difference distance duration interval gap span total count counting "
        "counted number's calculate compute determine find say tell work out figure identify list exactly exact precisely "
        "correspond corresponds corresponding be't isn't wasn't valid real exist exists existing possible actual actually "
        "both inclusive inclusively including excluding exclusive end starting start started starts begin began begins beginning "
        "ended ending ends completed finish finished first last only i you he she we they someone somebody person people baby child "
        "my your his her their me us age aged born birth birthday birthdate turn turns turned now current currently today's "
        "plus minus add added adding subtract subtracted subtracting subtraction addition + - "
        "business working work contain contains contained full whole remain remaining remains left go gone true false yes no "
        "not so also please more less sooner earliest latest later's clock o'clock meeting event call operation conference backup "
        "query video system database flight train movie film class lesson scheduled project deadline due recurs recur "
        "anniversary holiday holidays celebrated celebrate observed same which's feast written write format yyyy-mm-dd convert "
        "into express expressed mm/dd/yyyy dd/mm/yyyy standard 8601 iso-8601 am pm morning evening afternoon ordinal position "
        "normal regular ordinary non-leap non jump jumps skip occurrences numerically weekends going give show state provide where whether lie lies over across during want know get got make makes would've exactly? per each every any all another same "
        "forward backward forwards backwards ahead back add's see answer result following's yet already old's we'll i'll"
    ).split()
)
"""Every word that a calendar question may hold. One word outside it, and the question is somebody else's."""
