"""How each kind of question about units is answered: a sentence, or None where it does not fit after all."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from kubefugu_experts.engines.units.calculate import Calculator
from kubefugu_experts.engines.units.reading import Quantity, Reading, Unit
from kubefugu_experts.engines.units.telling import tell_value
from kubefugu_experts.phrasing import Rounding

_LESS = re.compile(
    r"\b(?:shorter|lighter|smaller|less|slower|colder|cooler|lower|shortest|lightest|smallest|slowest|coldest|lowest|least)\b"
)
_ADJECTIVES = re.compile(r"\b(\w+er|more|less)\b")
_YEARS = re.compile(r"\b(?:year|decade|century|millennium)\b(?! ?/)")
_AVERAGE_YEAR_DAYS, _COMMON_YEAR_DAYS = 365.25, 365


def _amount(value: float, unit: Unit, rounding: Rounding) -> str:
    text = tell_value(value, rounding)
    return f"{text} {unit.named(1 if text == '1' else 2)}"


def _echo(quantity: Quantity) -> str:
    """The quantity as the question has it."""
    return quantity.text


def conversion(reading: Reading, rounding: Rounding, calculator: Calculator) -> str | None:
    """Convert 5 km to miles."""
    (quantity,), (unit,) = reading.quantities, reading.units
    value = calculator.value(quantity, unit)
    if _is_between_years_and_days(quantity, unit):
        return f"That is {_amount(_with_common_years(value, quantity), unit, rounding)} (in common years)."
    return f"That is {_amount(value, unit, rounding)}."


def _is_between_years_and_days(quantity: Quantity, unit: Unit) -> bool:
    """A year has no fixed number of days: Pint takes the average, people the common year."""
    return (
        bool(_YEARS.search(quantity.unit.pint)) != bool(_YEARS.search(unit.pint))
        and "month" not in quantity.unit.pint + unit.pint
    )


def _with_common_years(value: float, quantity: Quantity) -> float:
    factor = _COMMON_YEAR_DAYS / _AVERAGE_YEAR_DAYS
    return value * factor if _YEARS.search(quantity.unit.pint) else value / factor


def to_one(reading: Reading, rounding: Rounding, calculator: Calculator) -> str | None:
    """How much is 5 km in a mile? (One of the two is "one unit".)"""
    ones = [quantity for quantity in reading.quantities if quantity.value == 1 and not quantity.smaller]
    if not ones:
        return None
    target = ones[-1]
    source = next(quantity for quantity in reading.quantities if quantity is not target)
    return f"That is {_amount(calculator.value(source, target.unit), target.unit, rounding)}."


def number_and_units(reading: Reading, rounding: Rounding, calculator: Calculator) -> str | None:
    """Convert from km to miles: 5."""
    source, target = reading.units
    value = calculator.convert(float(reading.numbers[0]), source, target)
    return f"That is {_amount(value, target, rounding)}."


def factor(reading: Reading, rounding: Rounding, calculator: Calculator) -> str | None:
    """How many feet per mile? What is the conversion factor from miles to kilometers?"""
    if len(reading.units) == 1:
        unit = reading.units[0]
        return f"There are {tell_value(calculator.ratio(unit), rounding)}." if calculator.is_ratio(unit) else None
    source, target = reading.units
    if re.search(r"how many UNIT", reading.skeleton):
        source, target = target, source
    value = calculator.convert(1.0, source, target)
    return f"1 {source.singular} = {_amount(value, target, rounding)}."


def two_units(reading: Reading, rounding: Rounding, calculator: Calculator) -> str | None:
    """180 cm in feet and inches."""
    (quantity,), (large, small) = reading.quantities, reading.units
    if not calculator.same_dimension(large, small):
        return None
    total = calculator.value(quantity, large)
    whole = math.floor(abs(total) + 1e-9)
    rest = calculator.convert(abs(total) - whole, large, small)
    sign = "-" if total < 0 else ""
    return f"That is {sign}{whole} {large.named(whole)} and {_amount(max(0.0, round(rest, 9)), small, rounding)}."


def how_many_fit(reading: Reading, rounding: Rounding, calculator: Calculator) -> str | None:
    """How many 250 ml are in 2 liters?"""
    part, whole = reading.quantities
    if part.value == 0 or not re.search(r"how many QTY|number of QTY", reading.skeleton):
        return None
    return f"There are {tell_value(calculator.value(whole, part.unit) / calculator.value(part, part.unit), rounding)}."


def equality(reading: Reading, rounding: Rounding, calculator: Calculator) -> str | None:
    """Is 1000 g equal to 1 kg?"""
    first, second = reading.quantities
    left, right = calculator.value(first, second.unit), calculator.value(second, second.unit)
    if math.isclose(left, right, rel_tol=1e-9):
        return f"Yes, {_echo(first)} and {_echo(second)} are equal."
    larger, smaller = (first, second) if left > right else (second, first)
    if re.search(r"compare|comparison", reading.skeleton):
        return f"{_echo(larger)} is more than {_echo(smaller)}."
    return f"No, {_echo(larger)} is more than {_echo(smaller)}."


def comparison(reading: Reading, rounding: Rounding, calculator: Calculator) -> str | None:
    """Which is longer, 5 km or 3 miles? Is 5 km more than 3 miles?"""
    quantities = reading.quantities
    unit = quantities[0].unit
    values = [calculator.value(quantity, unit) for quantity in quantities]
    word = _ADJECTIVES.search(reading.skeleton)
    less = bool(_LESS.search(reading.skeleton))
    if re.search(
        r"(?:^|true that |say that )(?:is|are|was|does|do|would|if|whether)?\b.*QTY .*than\b.*QTY", reading.skeleton
    ) and not re.search(r"\b(?:which|what|how)\b", reading.skeleton):
        return _yes_or_no(quantities, values, less=less, word=word[1] if word else "more")
    if len(quantities) == 2 and math.isclose(values[0], values[1], rel_tol=1e-9):
        return f"Neither: {_echo(quantities[0])} and {_echo(quantities[1])} are equal."
    if re.search(r"how much", reading.skeleton):
        difference = abs(values[0] - values[1])
        return f"The difference is {_amount(difference, unit, rounding)}."
    best = min(values) if less else max(values)
    name = word[1] if word and len(quantities) == 2 else "smallest" if less else "largest"
    return f"{_echo(quantities[values.index(best)])} is {'the ' if name.endswith('est') else ''}{name}."


def _yes_or_no(quantities: list[Quantity], values: list[float], *, less: bool, word: str) -> str | None:
    if len(quantities) != 2:
        return None
    if math.isclose(values[0], values[1], rel_tol=1e-9):
        return f"No, {_echo(quantities[0])} and {_echo(quantities[1])} are equal."
    yes = values[0] < values[1] if less else values[0] > values[1]
    return f"{'Yes' if yes else 'No'}, {_echo(quantities[0])} is {'' if yes else 'not '}{word} than {_echo(quantities[1])}."


def total(reading: Reading, rounding: Rounding, calculator: Calculator) -> str | None:
    """5 km + 300 m in meters; add 2 ft and 6 in; subtract 20 cm from 1 m; the difference between 5 km and 3 miles."""
    quantities = list(reading.quantities)
    words = reading.skeleton
    if len(quantities) == 1 and not (quantities[0].smaller and re.search(r"\b(?:add|sum|plus|total)", words)):
        return None
    unit = reading.units[0] if reading.units else quantities[0].unit
    values = [calculator.value(quantity, unit) for quantity in quantities]
    if any("deg" in quantity.unit.pint and quantity.unit.pint != "degree" for quantity in quantities):
        return None
    if re.search(r"difference", words):
        result = abs(values[0] - values[1]) if len(values) == 2 else None
    elif re.search(r"(?:subtract\w*|take(?: away)?|taken) QTY from QTY", words):
        result = values[1] - values[0]
    elif re.search(r"minus|subtract|QTY - QTY|less|take", words):
        result = values[0] - sum(values[1:])
    elif re.search(r"plus|add|sum|total|combined|together|QTY \+ QTY", words):
        result = sum(values)
    else:
        return None
    return None if result is None else f"That is {_amount(result, unit, rounding)}."


def scaled(reading: Reading, rounding: Rounding, calculator: Calculator) -> str | None:
    """3 times 5 km; 5 km divided by 4; half of 3 miles; double 2 cups, in another unit where asked for."""
    (quantity,) = reading.quantities
    if quantity.unit.pint in ("degC", "degF", "degR"):
        return None
    words = reading.skeleton
    factor: Fraction
    if re.search(r"double|twice", words):
        factor = Fraction(2)
    elif "triple" in words:
        factor = Fraction(3)
    elif re.search(r"half (?:of )?QTY|QTY (?:in )?half", words) and not reading.numbers:
        factor = Fraction(1, 2)
    elif not reading.numbers:
        return None
    elif re.search(r"divid|[÷/]", words):
        if not reading.numbers[0] or not re.search(r"QTY .*NUM", words):
            return None
        factor = 1 / reading.numbers[0]
    else:
        factor = reading.numbers[0]
    unit = reading.units[0] if reading.units else quantity.unit
    return f"That is {_amount(calculator.value(quantity, unit) * float(factor), unit, rounding)}."


_LENGTH, _TIME, _SPEED = "[length]", "[time]", "[length] / [time]"


def travel(reading: Reading, rounding: Rounding, calculator: Calculator) -> str | None:
    """How far do you get in 2.5 hours at 60 mph? How long do 150 miles take at 60 mph? How fast is 150 km in 2 hours?"""
    by_dimension = {calculator.dimension(quantity.unit): quantity for quantity in reading.quantities}
    length, time, speed = (by_dimension.get(dimension) for dimension in (_LENGTH, _TIME, _SPEED))
    target: Unit | None = reading.units[0] if reading.units else None
    if speed and time:
        distance = _distance_unit(speed.unit)
        unit = target or distance
        value = calculator.product(speed, time, divide=False, into=unit.pint)
    elif speed and length:
        unit = target or Unit("hour", "hour", "hours")
        value = calculator.product(length, speed, divide=True, into=unit.pint)
    elif length and time:
        unit = target or Unit(
            f"{length.unit.pint} / ({time.unit.pint})",
            f"{length.unit.singular} per {time.unit.singular}",
            f"{length.unit.plural} per {time.unit.singular}",
        )
        value = calculator.product(length, time, divide=True, into=unit.pint)
    else:
        return None
    return f"That is {_amount(value, unit, rounding)}."


_DISTANCES = {
    "mph": Unit("mile", "mile", "miles"),
    "kilometer_per_hour": Unit("kilometer", "kilometer", "kilometers"),
    "knot": Unit("nautical_mile", "nautical mile", "nautical miles"),
    "foot_per_second": Unit("foot", "foot", "feet"),
}


def _distance_unit(speed: Unit) -> Unit:
    if speed.pint in _DISTANCES:
        return _DISTANCES[speed.pint]
    first = speed.pint.partition(" / ")[0]
    return Unit(first, speed.singular.partition(" per ")[0], speed.plural.partition(" per ")[0])


def product(reading: Reading, rounding: Rounding, calculator: Calculator) -> str | None:
    """100 km divided by 2 hours; 60 mph times 2 hours; 10 km divided by 2 km."""
    first, second = reading.quantities
    divide = bool(re.search(r"divid|[÷/]|ratio", reading.skeleton))
    if divide and calculator.same_dimension(first.unit, second.unit):
        return f"That is {tell_value(calculator.value(first, second.unit) / calculator.value(second, second.unit), rounding)}."
    if reading.units:
        unit = reading.units[0]
    elif divide:
        unit = Unit(
            f"{first.unit.pint} / ({second.unit.pint})",
            f"{first.unit.singular} per {second.unit.singular}",
            f"{first.unit.plural} per {second.unit.singular}",
        )
    elif first.unit.pint == second.unit.pint and calculator.dimension(first.unit) == _LENGTH:
        unit = Unit(f"{first.unit.pint}**2", f"square {first.unit.singular}", f"square {first.unit.plural}")
    else:
        return travel(reading, rounding, calculator)
    return f"That is {_amount(calculator.product(first, second, divide=divide, into=unit.pint), unit, rounding)}."
