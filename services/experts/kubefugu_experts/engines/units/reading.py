"""Reads a question into a skeleton: quantities become QTY, units alone UNIT, numbers alone NUM, in order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from kubefugu_experts.engines.units.words import PAIRS, Named, build_names
from kubefugu_experts.phrasing import NUMBER, parse_number

_POWERS = {"square": 2, "sq": 2, "sq.": 2, "cubic": 3, "cu": 3, "cu.": 3}
_POWERS_AFTER = {
    "squared": 2, "cubed": 3, "^2": 2, "^3": 3, "²": 2, "³": 3, "**2": 2, "**3": 3, "2": 2, "3": 3,
}  # fmt: skip
_NAMES, _SYMBOLS = build_names()
_WORD_COUNT = max(len(name.split()) for name in _NAMES)


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit expression: for Pint, and for people."""

    pint: str
    singular: str
    plural: str

    def named(self, value: Fraction | float) -> str:
        """Singular for exactly one."""
        return self.singular if value == 1 else self.plural


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit."""

    value: Fraction
    unit: Unit
    text: str = ""
    """As the question writes it."""
    smaller: tuple[Quantity, ...] = ()
    """Further parts of a customary pair: the 11 inches of 5 feet 11 inches."""


@dataclass(slots=True)
class Reading:
    """A question with everything measured taken out."""

    skeleton: str = ""
    quantities: list[Quantity] = field(default_factory=list)
    units: list[Unit] = field(default_factory=list)
    numbers: list[Fraction] = field(default_factory=list)


_FEET_INCHES = re.compile(r"(?<![\w.])(\d+) ?(?:'|ft\.?) ?(\d+(?:\.\d+)?) ?(?:\"|''|in\b\.?)?(?!\w)")
_TOKEN = re.compile(rf"(?<![\w.]){NUMBER}(?![^\W\d_])|[^\W\d_]+(?:[-'.][^\W\d_]+)*\.?|[°℃℉][^\W\d_]?|\S", re.IGNORECASE)


def read(text: str) -> Reading:
    """Take quantities, units and numbers out of a text (case is kept: mW is not MW)."""
    text = _FEET_INCHES.sub(r"\1 feet \2 inches", text)
    text = re.sub(r"(\d ?[^\W\d]+) minus (?=\d)", r"\1 minus , ", text)  # taken away, no negative number
    items = _merge_articles(list(_items(_tokens(text))))
    items = _merge_pairs(items, comparing=bool(_COMPARING.search(text.lower())))
    reading = Reading()
    words: list[str] = []
    for item in items:
        if isinstance(item, Quantity):
            reading.quantities.append(item)
            words.append("QTY")
        elif isinstance(item, Unit):
            reading.units.append(item)
            words.append("UNIT")
        elif isinstance(item, Fraction):
            reading.numbers.append(item)
            words.append("NUM")
        elif item not in (",", ".", "?", "!", ":", ";", '"', "(", ")", "'"):
            words.append(item.lower().rstrip("."))
    reading.skeleton = " ".join(words)
    return reading


_COMPARING = re.compile(r"\b(?:compare|differen|between|which|versus|vs|than|or|subtract|from|minus)")
_Item = Quantity | Unit | Fraction | str


def _tokens(text: str) -> list[str]:
    """Words, numbers and signs; a number glued to a unit (5km, 30-minute) is parted from it."""
    text = re.sub(r"(?<=\d)(?=[^\W\d_]|°|℃|℉)(?!(?:e[+-]?\d|st\b|nd\b|rd\b|th\b))", " ", text)
    text = re.sub(r"(?<=\d)-(?=[a-zA-Z])", " ", text)
    text = re.sub(
        r"\b(an?|one|two|three|four|five|six|seven|eight|nine|ten)-(?=(?:hour|minute|mile|kilomet|met|foot|day|week|second)\w*)",
        r"\1 ",
        text,
        flags=re.IGNORECASE,
    )
    return [match[0] for match in _TOKEN.finditer(text)]


def _items(tokens: list[str]) -> Iterator[_Item]:
    position = 0
    while position < len(tokens):
        number = parse_number(tokens[position])
        if number is not None:
            after = position + 1
            if after < len(tokens) and tokens[after].lower() == "of" and number.denominator > 1:
                after += 1  # half of a mile
            if number < 1 and after < len(tokens) and tokens[after].lower() in ("a", "an"):
                after += 1
            found, length = _unit_at(tokens, after)
            if found is not None:
                yield Quantity(number, found, " ".join(tokens[position : after + length]))
                position = after + length
            elif tokens[position].lower() == "one":
                yield "one"
                position += 1
            else:
                yield number
                position += 1
            continue
        found, length = _unit_at(tokens, position)
        if found is not None and not _is_plain_word(tokens, position, length):
            yield found
            position += length
        else:
            yield tokens[position]
            position += 1


_PLAIN_WORDS = frozenset(
    (
        "in",
        "a",
        "as",
        "at",
        "c",
        "d",
        "s",
        "h",
        "m",
        "turn",
        "hand",
        "hands",
        "second",
        "degree",
        "time",
        "i",
        "bar",
        "chain",
        "us",
    )
)


def _is_plain_word(tokens: list[str], position: int, length: int) -> bool:
    """ "in", "a" and the like are English words first: a unit only after a number or where a conversion's target stands."""
    word = tokens[position]
    if length > 1 or word.lower() not in _PLAIN_WORDS:
        return False
    before = tokens[position - 1].lower() if position else ""
    if before == "many":
        return False
    last = position == len(tokens) - 1 or tokens[position + 1] in "?.!"
    if word in ("m", "s", "h", "d", "C", "c") or word == "in":
        return not (before in ("to", "into", "in", "many", "from", "->", "=", "/", "per") and (last or word != "in"))
    if word.lower() in ("turn", "second", "degree", "hand", "hands", "bar", "chain"):
        return before not in ("to", "into", "in", "many", "from", "a", "one", "per", "each")
    return True


def _unit_at(tokens: list[str], position: int) -> tuple[Unit | None, int]:
    """The longest unit expression that starts at a token, and how many tokens it takes."""
    first, length = _power_unit(tokens, position)
    if first is None:
        return None, 0
    pint, singular, plural = first.pint, first.singular, first.plural
    while position + length + 1 < len(tokens) and tokens[position + length].lower() in ("/", "per"):
        second, more = _power_unit(tokens, position + length + 1)
        if second is None:
            break
        pint, singular, plural = (
            f"{pint} / ({second.pint})",
            f"{singular} per {second.singular}",
            f"{plural} per {second.singular}",
        )
        length += 1 + more
    return Unit(pint, singular, plural), length


def _power_unit(tokens: list[str], position: int) -> tuple[Unit | None, int]:
    """A unit with a power: square feet, m^3, cm²."""
    if position >= len(tokens):
        return None, 0
    before = _POWERS.get(tokens[position].lower())
    found, length = _named_at(tokens, position + 1 if before else position)
    if found is None:
        return None, 0
    taken = length + (1 if before else 0)
    power, words = before, {2: "square", 3: "cubic"}
    rest = tokens[position + taken : position + taken + 3]
    if power is None and rest:
        for count in (3, 2, 1):
            power = _POWERS_AFTER.get("".join(rest[:count]).lower()) if len(rest) >= count else None
            if power and (count > 1 or not rest[0].isdigit()):
                taken += count
                break
            power = None
    if power is None:
        return Unit(found.pint, found.singular, found.plural), taken
    word = words[power]
    return Unit(f"{found.pint}**{power}", f"{word} {found.singular}", f"{word} {found.plural}"), taken


def _named_at(tokens: list[str], position: int) -> tuple[Named | None, int]:
    """The unit with the longest name that starts at a token."""
    for count in range(min(_WORD_COUNT, len(tokens) - position), 0, -1):
        part = tokens[position : position + count]
        glued = ("".join(part),) if any(not word[0].isalpha() for word in part) else ()  # km / h, ° C
        for text in (" ".join(part), *glued):
            found = _SYMBOLS.get(text) or _NAMES.get(text.lower()) or _NAMES.get(text.lower().rstrip("."))
            if found is not None:
                return found, count
    return None, 0


def _merge_articles(items: list[_Item]) -> list[_Item]:
    """ "a mile" is 1 mile."""
    merged: list[_Item] = []
    for item in items:
        if (
            isinstance(item, Unit)
            and merged
            and isinstance(merged[-1], str)
            and merged[-1].lower() in ("a", "an", "each", "every")
        ):
            merged[-1] = Quantity(Fraction(1), item, f"{merged[-1]} {item.singular}")
        else:
            merged.append(item)
    return merged


def _merge_pairs(items: list[_Item], *, comparing: bool) -> list[_Item]:
    """5 feet 11 inches is one quantity; with "and" between only where nothing is compared."""
    merged: list[_Item] = []
    for item in items:
        if isinstance(item, Quantity):
            glue = 0
            while glue < 2 and len(merged) > glue and merged[-1 - glue] in ((",", "and") if not comparing else (",",)):
                glue += 1
            last = merged[-1 - glue] if len(merged) > glue else None
            if isinstance(last, Quantity) and last.value.denominator == 1:
                larger = last.smaller[-1] if last.smaller else last
                if (larger.unit.pint, item.unit.pint) in PAIRS:
                    del merged[len(merged) - 1 - glue :]
                    merged.append(Quantity(last.value, last.unit, f"{last.text} {item.text}", (*last.smaller, item)))
                    continue
        merged.append(item)
    return merged
