"""Free wording as plain requests: which quantities and units are there, do they fit each other, and what do the cues ask?

The requests are worded as the narrow rules of this package understand them ("convert 5 km to miles").
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubefugu_experts.engines.units.calculate import Calculator
from kubefugu_experts.engines.units.reading import Quantity, Reading, Unit, read
from kubefugu_experts.phrasing.meaning import meant, operation

_FOREIGN = re.compile(
    r"[=^$€£]|->|\d{1,2}:\d\d|\d{4}-\d\d-\d\d|\b(?:jan(?:uary)?|february|march|april|june|july|august|september|october|"
    r"november|december|"
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)day|today|tomorrow|yesterday|ago|birthday|born|leap|weekday|date|calendar|century|"
    r"population|people|country|capital|inhabitants|price|cost|costs|dollars?|euros?|pay|salary|wage|square root|percent|%|"
    r"derivative|integral|equation|integers?|heads|legs|older|younger|synonym|opposite|define|definition|meaning|word|words|"
    r"poem|story|joke|essay|recommend|plan|advice|why|who (?:is|was|wrote)|calories? (?:are )?in an?|old is|history|"
    r"code|function)\b",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"\?|\b(?:how|what|what's|whats|which|convert\w*|conver\w+|express\w*|chang\w+|turn\w*|translat\w*|transform\w*|"
    r"switch\w*|give|tell|need|"
    r"rewrit\w*|writ\w*|equal\w*|equivalent|corresponds?|measur\w+|put|show|state|calculate|want|into|to|in|as|using)\b",
    re.IGNORECASE,
)
_ON_TWO = (
    operation(
        "more",
        (4, r"(?:which|what|who|whichever|compare\w*)\b.*\b(?:\w+er|more|most|\w+est)\b"),
        (4, r"\w+er (?:than|distance|one|weight|amount|length|of)|more than|longest|heaviest|largest|biggest|farthest|hottest"),
    ),
    operation(
        "same",
        (4, r"(?:is|are|does|do|would|equals?)\b.*\b(?:the same|equal\w*|equivalent|identical|as (?:much|long|heavy|far|"
        r"hot|big|fast) as)"),
    ),
    operation("sum", (4, r"sum\w*|add(?:ed|ing|s)?|together|total|altogether|combin\w*|plus|in all|both")),
    operation("difference", (4, r"differen\w*|minus|subtract\w*|remain\w*|take\b.*\boff|off\b.*\bfrom|left|less|cut off|"
    r"shorten\w*|deduct\w*|reduc\w*")),
)  # fmt: skip
_LESS = re.compile(
    r"\b(?:less|shorter|lighter|smaller|slower|colder|cooler|lower|nearer|least|shortest|lightest|"
    r"smallest|slowest|coldest)\b"
)
_MORE_WORD = re.compile(
    r"\b((?:long|heavi|larg|bigg|great|fast|hott|warm|tall|farth|furth|high|wid|deep|short|light|"
    r"small|slow|cold|cool|low)er|more|less)\b"
)
_TIMES = re.compile(
    r"\b(?:times|multiplied|each|apiece|packs? of|bottles? of|portions? of|pieces? of|boxes of)\b", re.IGNORECASE
)
_SPEED, _LENGTH, _TIME = "[length] / [time]", "[length]", "[time]"


def requests(text: str, calculator: Calculator) -> Iterator[str]:
    """Plain requests that mean the same; none where quantities or operation are missing or ambiguous."""
    if _FOREIGN.search(text) or not _ASKS.search(text):
        return
    reading = read(text)
    quantities = _distinct(reading.quantities)
    if len(quantities) == 1:
        yield from _about_one(quantities[0], reading, text, calculator)
    elif len(quantities) == 2:
        first, second = quantities
        if calculator.same_dimension(first.unit, second.unit):
            yield from _about_two(first, second, reading, text, calculator)
        else:
            yield from _about_travel(first, second, reading, text, calculator)


def _distinct(quantities: list[Quantity]) -> list[Quantity]:
    """Without repetitions; "a unit" is a quantity only where it stands alone."""
    found: dict[tuple[object, str], Quantity] = {}
    for quantity in quantities:
        found.setdefault((quantity.value, quantity.unit.pint), quantity)
    real = [quantity for quantity in found.values() if re.search(r"\d", quantity.text)]
    return real or list(found.values())


def _target(units: list[Unit], other: Unit, calculator: Calculator) -> Unit | None:
    """The only unit that the quantity can be told in."""
    fitting = {unit.pint: unit for unit in units if unit.pint != other.pint and calculator.same_dimension(unit, other)}
    return next(iter(fitting.values())) if len(fitting) == 1 else None


def _about_one(quantity: Quantity, reading: Reading, text: str, calculator: Calculator) -> Iterator[str]:
    target = _target(reading.units, quantity.unit, calculator)
    if target is None:
        return
    if not reading.numbers:
        yield f"convert {quantity.text} to {target.plural}"
    elif len(reading.numbers) == 1 and reading.numbers[0].denominator == 1 and _TIMES.search(text):
        yield f"what is {reading.numbers[0]} times {quantity.text} in {target.plural}"


def _about_two(first: Quantity, second: Quantity, reading: Reading, text: str, calculator: Calculator) -> Iterator[str]:
    name = meant(text.lower(), _ON_TWO)
    target = _target(reading.units, first.unit, calculator) or next(
        (unit for unit in reading.units if calculator.same_dimension(unit, first.unit)), None
    )
    into = f" in {target.plural}" if target else ""
    if name == "more":
        lower = text.lower()
        word = match[1] if (match := _MORE_WORD.search(lower)) else "less" if _LESS.search(lower) else "more"
        if re.match(r"(?:is|are|would|was|were|does|do)\b", lower):
            yield f"is {first.text} {word} than {second.text}"
        else:
            yield f"which is {word}, {first.text} or {second.text}"
    elif name == "same":
        yield f"is {first.text} equal to {second.text}"
    elif name == "sum":
        yield f"what is {first.text} + {second.text}{into}"
    elif name == "difference":
        turned = re.search(r"\b(?:off|from|out of|away)\b", text.lower()) and text.find(first.text) < text.find(second.text)
        one, two = (second, first) if turned else (first, second)
        yield f"what is {one.text.rstrip('.')} - {two.text}{into}"


def _about_travel(first: Quantity, second: Quantity, reading: Reading, text: str, calculator: Calculator) -> Iterator[str]:
    """Two of distance, time and speed, and the third asked for."""
    kinds = {calculator.dimension(quantity.unit): quantity for quantity in (first, second)}
    into = f" in {reading.units[0].plural}" if len(reading.units) == 1 else ""
    if {_SPEED, _TIME} <= kinds.keys() and re.search(
        r"\b(?:far|distance|cover\w*|kilomet\w+|km|miles?|travel\w*|way|"
        r"get|come)\b",
        text,
        re.IGNORECASE,
    ):
        yield f"How far do you travel in {kinds[_TIME].text} at {kinds[_SPEED].text}{into}"
    elif {_SPEED, _LENGTH} <= kinds.keys() and re.search(
        r"\b(?:long|time|hours?|minutes?|take\w*|need\w*|when)\b", text, re.IGNORECASE
    ):
        yield f"How long does it take to drive {kinds[_LENGTH].text} at {kinds[_SPEED].text}{into}"
    elif {_LENGTH, _TIME} <= kinds.keys() and re.search(
        r"\b(?:speed|fast|quick\w*|velocity|pace|per hour)\b", text, re.IGNORECASE
    ):
        yield f"what is the average speed if you travel {kinds[_LENGTH].text} in {kinds[_TIME].text}{into}"
